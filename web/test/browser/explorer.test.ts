// The explorer of the API, at a server with the demo clinic: it opens signed in as somebody, and what stands in its tabs works.

import assert from "node:assert/strict"
import { after, test } from "node:test"
import type { Page } from "playwright-core"
import { eventually, patience, startWorld } from "./world"

const world = await startWorld({ CORRIDOR_DEMO: "true" })

const ann = "ann.lee@lakeside.example"
const grace = "grace.obrien@lakeside.example"
const zoe = "zoe.brown@lakeside.example"

const story = [
  "WhoAmI",
  "MyContacts",
  "RecentChats",
  "NewChat",
  "StartConversation",
  "SendMessage",
  "ChatHistory",
  "CreateGroup",
  "Participants",
  "AddWhom",
  "RemoveWhom",
  "MuteChat",
  "ArchiveChat",
  "LeaveWhichGroup",
  "DeleteWhichGroup",
  "Live",
  "WhatMayIDo",
]

test("the explorer opens signed in as a person of the demo clinic, with the story's tabs and the schema beside them", async () => {
  const explorer = await opens()

  assert.equal(await explorer.page.title(), "Corridor API explorer")
  await explorer.page.getByRole("heading", { level: 1, name: "Corridor API explorer" }).waitFor()
  assert.equal(await explorer.page.getByRole("main").count(), 1)
  assert.equal(await explorer.person().inputValue(), ann)
  assert.deepEqual(await explorer.tabs(), story)

  await explorer.page.getByRole("link", { name: "Mutation", exact: true }).first().click()
  await explorer.page.getByText("What a person can do, one mutation each").waitFor()
  await explorer.page.getByRole("link", { name: "sendMessage", exact: true }).click()
  await explorer.page.getByText("Once this answers, the message is on disk").waitFor()
  await explorer.assertClean()
})

test("a query answers, and so does a mutation, each time with a client key of its own", async () => {
  const explorer = await opens()

  await explorer.runs("WhoAmI")
  await explorer.shows('"name": "Ann Lee"')

  await explorer.goesTo("SendMessage")
  const key = await explorer.clientKey()
  await explorer.runs("SendMessage")
  await explorer.shows('"text": "Hello from the explorer 🙂"')
  await explorer.shows(key)
  await eventually(
    "the key is replaced",
    () => explorer.clientKey(),
    (now) => now !== "" && now !== key,
  )

  await explorer.runs("SendItTwice")
  await explorer.shows('"again"')
  const { once, again } = (await explorer.answer<{ data: Record<string, { message: { id: string } }> }>()).data
  assert.ok(once, "there is one")
  assert.deepEqual(again, once, "what is sent twice with one key is one message")
  await explorer.assertClean()
})

test("the first operation of every tab answers without an error", async () => {
  const explorer = await opens()
  await explorer.person().selectOption(zoe)
  await explorer.isReady()

  for (const tab of (await explorer.tabs()).filter((tab) => tab !== "Live")) {
    await explorer.goesTo(tab)
    await explorer.runs(tab)
    await explorer.shows('"data"')
    const { errors, data } = await explorer.answer<{
      errors?: unknown
      data: Record<string, { userErrors?: unknown[] }>
    }>()
    assert.equal(errors, undefined, tab)
    for (const done of Object.values(data)) assert.deepEqual(done.userErrors ?? [], [], tab)
  }
  await explorer.assertClean()
})

test("the live tab hears a message that somebody else sends, until another person signs in", async () => {
  const explorer = await opens()
  await explorer.goesTo("Live")
  const socket = explorer.page.waitForEvent("websocket", { timeout: patience })
  await explorer.runs("Live")
  await explorer.shows('"Heartbeat"')

  await says(grace, ann, "the scan is in")

  await explorer.shows('"the scan is in"')
  await explorer.shows('"popup": true')

  const ended = (await socket).waitForEvent("close", { timeout: patience })
  await explorer.person().selectOption(grace)
  await ended
  await explorer.isReady()
  await explorer.runs("WhoAmI")
  await explorer.shows(`"email": "${grace}"`)

  await explorer.person().selectOption(ann)
  await explorer.isReady()
  assert.deepEqual(await explorer.tabs(), story, "Ann finds her tabs again")
  await explorer.assertClean()
})

test("a token that is over is replaced, and the query is done all the same", async () => {
  const explorer = await opens()
  let refused = 0
  await explorer.page.route("**/graphql", async (route) => {
    if (refused++ > 0) return route.fallback()
    return route.fulfill({ status: 401, json: { errors: [{ message: "Sign in first." }] } })
  })
  const asked = explorer.page.waitForRequest("**/demo/token", { timeout: patience })

  await explorer.runs("WhoAmI")

  await explorer.shows('"name": "Ann Lee"')
  await asked
  assert.equal(refused, 2)
  await explorer.assertClean(/status of 401/)
})

test("where there is no demo clinic it takes a bearer token, and keeps it to itself", async () => {
  const token = await world.runs("token", "--email", grace)
  const explorer = await opens(async (page) => {
    await page.route("**/demo/people", (route) => route.fulfill({ status: 404, json: { errors: [] } }))
  })
  const field = explorer.page.getByLabel("Bearer token")
  assert.equal(await field.getAttribute("type"), "password")

  await field.fill(token)
  await field.press("Enter")

  await explorer.page.getByRole("status").getByText("Signed in as Grace O’Brien").waitFor()
  await explorer.isReady()
  await explorer.runs("WhoAmI")
  await explorer.shows(`"email": "${grace}"`)
  assert.equal(await field.inputValue(), "")
  assert.equal(!(await explorer.page.content()).includes(token), true)
  await explorer.assertClean(/status of 404/)
})

/** Sends a message to somebody through the API. */
async function says(who: string, to: string, body: string) {
  const [token, peer] = await Promise.all([
    world.runs("token", "--email", who),
    world
      .runs("token", "--email", to)
      .then(async (token) => ask<{ viewer: { user: { id: string } } }>(token, "{ viewer { user { id } } }")),
  ])
  const { started } = await ask<{ started: { conversation: { id: string } } }>(
    token,
    "mutation ($key: String!, $id: ID!) { started: startDirectConversation(input: { clientKey: $key, userId: $id }) { conversation { id } } }",
    { key: crypto.randomUUID(), id: peer.viewer.user.id },
  )
  await ask(
    token,
    "mutation ($key: String!, $id: ID!, $body: String!) { sendMessage(input: { clientKey: $key, conversationId: $id, body: $body }) { userErrors { code } } }",
    { key: crypto.randomUUID(), id: started.conversation.id, body },
  )
}

async function ask<Data>(token: string, query: string, variables = {}): Promise<Data> {
  const response = await fetch(`${world.url}/graphql`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
    body: JSON.stringify({ query, variables }),
  })
  const { data, errors } = (await response.json()) as { data: Data; errors?: unknown }
  assert.equal(errors, undefined)
  return data
}

const explorers: Explorer[] = []
after(() => Promise.all(explorers.map(({ page }) => page.context().close())))

/** Opens the explorer in a browser of its own, ready to be used where there is a demo clinic. */
async function opens(prepare?: (page: Page) => Promise<void>): Promise<Explorer> {
  const browser = await world.browser()
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: "en-US" })
  context.setDefaultTimeout(patience)
  const explorer = new Explorer(await context.newPage())
  explorers.push(explorer)
  await prepare?.(explorer.page)
  await explorer.page.goto(`${world.url}/explorer`)
  if (!prepare) await explorer.isReady()
  return explorer
}

/** The explorer in a page, and what it did that it should not. */
class Explorer {
  readonly #complaints: string[] = []

  constructor(readonly page: Page) {
    page.on("pageerror", (error) => this.#complaints.push(`error: ${error.message}`))
    page.on("console", (line) => {
      if (["error", "warning"].includes(line.type())) this.#complaints.push(`${line.type()}: ${line.text()}`)
    })
    page.context().on("request", (request) => {
      if (!/^(data|blob):/.test(request.url()) && new URL(request.url()).origin !== world.url)
        this.#complaints.push(`asked ${request.url()}`)
    })
    page.on("websocket", (socket) => {
      if (new URL(socket.url()).host !== new URL(world.url).host) this.#complaints.push(`connected to ${socket.url()}`)
    })
  }

  /** The editors are there, and know the schema. */
  async isReady() {
    await this.page
      .locator(".graphiql-query-editor .view-lines")
      .getByText("viewer")
      .or(this.page.locator(".graphiql-query-editor").getByText("subscription"))
      .first()
      .waitFor()
    await this.page.getByRole("link", { name: "Subscription", exact: true }).first().waitFor()
  }

  person() {
    return this.page.getByLabel("Signed in as")
  }

  tabs(): Promise<string[]> {
    return this.page.getByRole("tab").allInnerTexts()
  }

  async goesTo(tab: string) {
    await this.page.getByRole("tablist").getByRole("button", { name: tab, exact: true }).click()
    await this.page.locator(".graphiql-query-editor .view-lines").getByText(tab, { exact: true }).first().waitFor()
  }

  /** Runs an operation of the tab that is open, as a person does. */
  async runs(operation: string) {
    const operations = [...(await this.#text("operation.graphql")).matchAll(/^(?:query|mutation|subscription) (\w+)/gm)]
    const isOne = operations.length === 1
    // The editor takes a moment to see what is in another tab: only then the button is what it should be.
    const play = this.page
      .getByRole("button", { name: /^Execute query/ })
      .and(this.page.locator(isOne ? ":not([aria-haspopup])" : "[aria-haspopup]"))
    if (isOne) return play.click()
    const item = this.page.getByRole("menuitem", { name: operation, exact: true })
    await eventually(
      `${operation} can be chosen`,
      async () => {
        await play.click()
        if (await item.isVisible()) return true
        await this.page.keyboard.press("Escape")
        return false
      },
      Boolean,
    )
    await item.click()
  }

  /** Waits until the response has something in it. */
  async shows(text: string) {
    await eventually(
      `it shows ${text}`,
      () => this.#text("response.json"),
      (shown) => shown.includes(text),
    )
  }

  async answer<T>(): Promise<T> {
    return JSON.parse(await this.#text("response.json")) as T
  }

  /** The client key in the variables. */
  async clientKey(): Promise<string> {
    return /"clientKey": "([^"]+)"/.exec(await this.#text("variables.json"))?.[1] ?? ""
  }

  /** What stands in an editor. Of long texts only a part is in the page. */
  async #text(editor: string): Promise<string> {
    return this.page.evaluate((editor) => {
      interface Model {
        uri: { path: string }
        getValue: () => string
      }
      const { __MONACO: monaco } = globalThis as unknown as { __MONACO: { editor: { getModels: () => Model[] } } }
      return (
        monaco.editor
          .getModels()
          .find(({ uri }) => uri.path.endsWith(editor))
          ?.getValue() ?? ""
      )
    }, editor)
  }

  /** Nothing left the origin, nothing was refused by the page's policy or went wrong, and nothing was kept in the browser. */
  async assertClean(but?: RegExp) {
    assert.deepEqual(
      this.#complaints.filter((complaint) => !but?.test(complaint)),
      [],
    )
    const kept = await this.page.evaluate(async () => [
      localStorage.length,
      sessionStorage.length,
      document.cookie,
      (await indexedDB.databases()).length,
      (await caches.keys()).length,
    ])
    assert.deepEqual(kept, [0, 0, "", 0, 0])
    assert.deepEqual(await this.page.context().cookies(), [])
  }
}
