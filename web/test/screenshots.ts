// Takes the pictures of the README from the demo clinic: `npm run screenshots`, with bin/corridor built.

import { mkdir } from "node:fs/promises"
import { resolve } from "node:path"
import { test } from "node:test"
import type { BrowserContextOptions } from "playwright-core"
import { startWorld } from "./browser/world"

const pictures = resolve(import.meta.dirname, "../../docs/images")
const world = await startWorld({ CORRIDOR_DEMO: "true" })

/** The demo clinic's page, as somebody of it. */
async function opens(name: string, options: BrowserContextOptions) {
  const context = await (await world.browser()).newContext({ locale: "en-US", timezoneId: "UTC", ...options })
  const page = await context.newPage()
  await page.goto(world.url)
  await page.getByRole("button", { name }).click()
  await page.locator('[data-connection="live"]').waitFor()
  const chats = page.getByRole("button", { name: "Chats", exact: true })
  return {
    page,
    open: async (chat: string) => {
      await chats.click()
      await page.getByRole("dialog", { name: "Chats" }).getByRole("button", { name: chat }).first().click()
      await page
        .getByRole("region", { name: `Chat with ${chat}` })
        .getByRole("article")
        .first()
        .waitFor()
    },
    openDropdown: async () => {
      await chats.click()
      await page.getByRole("list", { name: "Recent chats" }).waitFor()
    },
    shoots: (picture: string) => page.screenshot({ path: resolve(pictures, picture), animations: "disabled" }),
  }
}

test("the pictures of the README", async () => {
  await mkdir(pictures, { recursive: true })
  const wide = { viewport: { width: 1280, height: 760 } }

  const ann = await opens("Ann Lee", wide)
  await ann.open("Front desk")
  await ann.page.getByRole("button", { name: "Participants" }).click()
  await ann.page.getByRole("button", { name: "Edit participants" }).waitFor()
  await ann.open("María Álvarez")
  await ann.openDropdown()
  await ann.shoots("chat.png")

  const dark = await opens("María Álvarez", { ...wide, colorScheme: "dark" })
  await dark.openDropdown()
  await dark.page.getByRole("button", { name: "See All Chats" }).click()
  await dark.page
    .getByRole("list", { name: "All conversations" })
    .getByRole("button", { name: "Cardiology huddle" })
    .click()
  await dark.page.getByRole("article").first().waitFor()
  await dark.shoots("all-chats-dark.png")

  const narrow = await opens("Ann Lee", { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2 })
  await narrow.open("Front desk")
  await narrow.shoots("chat-narrow.png")

  const explorer = await (await world.browser()).newContext(wide)
  const page = await explorer.newPage()
  await page.goto(`${world.url}/explorer`)
  await page.locator(".graphiql-query-editor .view-lines").getByText("viewer").first().waitFor()
  await page.getByRole("link", { name: "Subscription", exact: true }).first().waitFor()
  await page.getByRole("button", { name: /^Execute query/ }).click()
  await page.locator(".result-window").getByText("Ann Lee").first().waitFor()
  await page.screenshot({ path: resolve(pictures, "explorer.png"), animations: "disabled" })
})
