// What a person does and sees in a page with the chat. Names are the accessible ones, exact; Playwright looks into open shadow roots.

import assert from "node:assert/strict"
import { readFile } from "node:fs/promises"
import { extname, join } from "node:path"
import { barriers } from "./axe"
import type { Browser, BrowserContextOptions, Locator, Page } from "playwright-core"

/** How long a page may take on a busy machine, in milliseconds. */
const patience = 20_000

/** What a host page is that the chat is embedded in. */
export interface Embedding {
  /** What stands in its body, by default a header with the element and a text. */
  html?: string | undefined
  /** Attributes of the element. */
  attributes?: string | undefined
  /** The page's own styles. */
  css?: string | undefined
}

/** The content security policy of a strict host page, for servers whose own page has none. */
const strict =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; media-src 'self' blob:; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** A build of the client to use instead of the server's own, such as `dist`. */
const build = process.env.CORRIDOR_CLIENT

const types: Record<string, string> = { ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" }

export async function embed(
  browser: Browser,
  of: Embedding & { name: string; url: string; token: () => Promise<string>; context: BrowserContextOptions },
): Promise<Chat> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...of.context })
  context.setDefaultTimeout(patience)
  // A page that is routed here comes from nowhere, and would not be let to the server's socket otherwise.
  await context.grantPermissions(["local-network-access", ...(of.context.permissions ?? [])])
  const body =
    of.html ??
    `<header><corridor-chat ${of.attributes ?? ""}></corridor-chat></header><main><h1>Waiting room</h1><p>Nobody waits.</p></main>`
  const files: Record<string, { contentType: string; body: string }> = {
    "/host": {
      contentType: "text/html; charset=utf-8",
      body: `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Host</title>
        <meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
        <link rel="icon" href="/host.svg"><link rel="stylesheet" href="/host.css"><script type="module" src="/host.js"></script></head><body>${body}</body></html>`,
    },
    "/host.svg": { contentType: "image/svg+xml", body: `<svg xmlns="http://www.w3.org/2000/svg"/>` },
    "/host.css": {
      contentType: "text/css",
      body: of.css ?? ":root { background: Canvas; color: CanvasText } body { margin: 0; font-family: sans-serif }",
    },
    "/host.js": {
      contentType: "text/javascript",
      body: `import "/corridor.js"; document.querySelector("corridor-chat").token = () => hostToken()`,
    },
  }
  const policy = (await fetch(of.url).catch(() => undefined))?.headers.get("content-security-policy") ?? strict
  await context.route(
    (url) => url.origin === of.url && url.pathname in files,
    (route) =>
      route.fulfill({
        ...files[new URL(route.request().url()).pathname],
        headers: { "Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff" },
      }),
  )
  if (build)
    await context.route(/\/(corridor\.js|assets\/.*)$/, async (route) => {
      const { pathname } = new URL(route.request().url())
      await route.fulfill({
        body: await readFile(join(build, pathname)),
        contentType: types[extname(pathname)] ?? "application/octet-stream",
      })
    })
  await context.exposeFunction("hostToken", of.token)
  // The compiler that runs the tests calls this in functions that are sent to the page.
  await context.addInitScript("globalThis.__name = (what) => what")
  await context.addInitScript(watch)
  return new Chat(await context.newPage(), of.name, of.url)
}

/** Runs in the page before everything else: counts sounds, and says what the content security policy forbade. */
function watch() {
  const starts: number[] = []
  Object.assign(globalThis, { soundStarts: starts })
  const start = OscillatorNode.prototype.start
  OscillatorNode.prototype.start = function (...when) {
    starts.push(performance.now())
    start.apply(this, when)
  }
  document.addEventListener("securitypolicyviolation", (event) =>
    console.error(
      `CSP: ${event.violatedDirective} forbids ${event.blockedURI} ${event.sourceFile}:${String(event.lineNumber)}`,
    ),
  )
}

const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
const begins = (name: string) => new RegExp(`^\\s*${escaped(name)}`)

export class Chat {
  /** What the page did that it should not. */
  readonly complaints: string[] = []
  #expected: RegExp[] = []

  constructor(
    readonly page: Page,
    /** Whose page it is. */
    readonly name: string,
    readonly url: string,
  ) {
    page.on("request", (request) => {
      const { protocol, origin } = new URL(request.url())
      if (protocol !== "blob:" && protocol !== "data:" && origin !== url)
        this.#complain(`asked another server: ${request.url()}`)
    })
    page.on("websocket", (socket) => {
      if (new URL(socket.url()).host !== new URL(url).host)
        this.#complain(`a socket to another server: ${socket.url()}`)
    })
    page.on("console", (message) => {
      if (message.type() === "error") this.#complain(`${message.text()} (${message.location().url})`)
    })
    page.on("pageerror", (error) => this.#complain(error.stack ?? error.message))
  }

  #complain(what: string) {
    if (!this.#expected.some((pattern) => pattern.test(what))) this.complaints.push(what)
  }

  /** Announces what else would make the test fail. */
  expects(...patterns: RegExp[]) {
    this.#expected.push(...patterns)
  }

  /** Announces that requests fail because the server or the network is away. */
  expectsToLoseTheServer() {
    this.expects(/Failed to load resource/, /WebSocket connection to/, /net::ERR/)
  }

  assertClean() {
    assert.deepEqual(this.complaints, [], `${this.name}'s page did what it should not`)
  }

  // The bubble and what it opens.

  element(): Locator {
    return this.page.locator("corridor-chat")
  }

  root(): Locator {
    return this.page.locator("corridor-chat [data-connection]")
  }

  async isLive() {
    await this.page.locator('corridor-chat [data-connection="live"]').waitFor({ state: "attached" })
  }

  async isInterrupted() {
    await this.page.locator('corridor-chat [data-connection="interrupted"]').waitFor({ state: "attached" })
  }

  bubble(): Locator {
    return this.page.getByRole("button", { name: "Chats", exact: true })
  }

  /** How many chats are unread, as the bubble says. */
  async unread(): Promise<number> {
    const id = await this.bubble().getAttribute("aria-describedby")
    if (!id) return 0
    return Number.parseInt((await this.page.locator(`corridor-chat [id="${id}"]`).textContent()) ?? "")
  }

  dropdown(): Locator {
    return this.page.getByRole("dialog", { name: "Chats", exact: true })
  }

  async openDropdown(): Promise<Locator> {
    await this.bubble().click()
    await this.dropdown().waitFor()
    return this.dropdown()
  }

  /** A row of the recent chats, in the open dropdown. */
  recent(name: string): Locator {
    return this.page
      .getByRole("list", { name: "Recent chats", exact: true })
      .getByRole("button", { name: begins(name) })
  }

  /** The names of the recent chats, from above. */
  async recentNames(): Promise<string[]> {
    return namesOf(this.page.getByRole("list", { name: "Recent chats", exact: true }))
  }

  /** Opens a chat from the dropdown. */
  async opens(name: string): Promise<Box> {
    await this.openDropdown()
    await this.recent(name).click()
    const box = await this.box(name).isOpen()
    // The transcript is there, and not about to be put in the place of the sign that it loads.
    await box.log().and(this.page.locator(':not([aria-busy="true"])')).waitFor()
    return box
  }

  // New Chat.

  newChat(): Locator {
    return this.page.getByRole("dialog", { name: "New Chat", exact: true })
  }

  async openNewChat(): Promise<Locator> {
    await this.openDropdown()
    await this.dropdown().getByRole("button", { name: "New Chat", exact: true }).click()
    await this.newChat().waitFor()
    return this.newChat()
  }

  /** Types into the search of New Chat. */
  async searches(text: string) {
    await this.newChat().getByRole("combobox", { name: "Name or email address", exact: true }).fill(text)
  }

  found(name: string): Locator {
    return this.newChat().getByRole("option", { name: begins(name) })
  }

  /** Finds a person or a group by New Chat, and opens the chat. */
  async opensChatWith(name: string): Promise<Box> {
    await this.openNewChat()
    await this.searches(name)
    await this.found(name).click()
    return this.box(name).isOpen()
  }

  /** Makes a group by New Chat (E1). */
  async createsGroup(name: string, ...others: string[]): Promise<Box> {
    await this.openNewChat()
    await this.newChat().getByRole("button", { name: "New group", exact: true }).click()
    for (const other of others) {
      await this.searches(other)
      await this.found(other).click()
    }
    await this.newChat().getByRole("textbox", { name: "Group name", exact: true }).fill(name)
    await this.newChat().getByRole("button", { name: "Create group", exact: true }).click()
    return this.box(name).isOpen()
  }

  // All chats.

  allChats(): Locator {
    return this.page.getByRole("dialog", { name: "All chats", exact: true })
  }

  async seesAllChats(): Promise<Locator> {
    await this.openDropdown()
    await this.dropdown().getByRole("button", { name: "See All Chats", exact: true }).click()
    await this.allChats().waitFor()
    return this.allChats()
  }

  /** Shows all, the unread or the archived ones in All chats. */
  async shows(which: "All" | "Unread" | "Archived") {
    await this.allChats()
      .getByRole("radiogroup", { name: "Show", exact: true })
      .getByText(which, { exact: true })
      .click()
  }

  listed(name: string): Locator {
    return this.allChats()
      .getByRole("list", { name: "All conversations", exact: true })
      .getByRole("button", { name: begins(name) })
  }

  async listedNames(): Promise<string[]> {
    return namesOf(this.allChats().getByRole("list", { name: "All conversations", exact: true }))
  }

  async closesAllChats() {
    await this.allChats().getByRole("button", { name: "Close all chats", exact: true }).click()
    await this.allChats().waitFor({ state: "detached" })
  }

  // The rest.

  box(name: string): Box {
    return new Box(this, name)
  }

  dialog(name: string): Locator {
    return this.page.getByRole("dialog", { name, exact: true })
  }

  /** A notice for a while, such as `Chat archived.` */
  toast(text: string): Locator {
    return this.page.getByRole("status").getByText(text, { exact: true })
  }

  /** Waits until a text is to be seen anywhere. */
  async sees(text: string) {
    await this.page.getByText(text, { exact: true }).first().waitFor()
  }

  /** The accessible name of what has the focus, through shadow roots; its text if it has no label. */
  async focus(): Promise<string> {
    return this.page.evaluate(() => {
      let active = document.activeElement
      while (active?.shadowRoot?.activeElement) active = active.shadowRoot.activeElement
      if (!active || active === document.body) return ""
      const label = active.getAttribute("aria-label")
      const labels = active instanceof HTMLInputElement || active instanceof HTMLTextAreaElement ? active.labels : null
      return (label ?? labels?.[0]?.textContent ?? active.textContent).trim()
    })
  }

  /** Where the focus is, in roles: whether it is within what a locator shows. */
  async hasFocusIn(locator: Locator): Promise<boolean> {
    return locator.evaluate((element) => {
      let active = document.activeElement
      while (active?.shadowRoot?.activeElement) active = active.shadowRoot.activeElement
      for (let node: Node | null = active; node; node = node instanceof ShadowRoot ? node.host : node.parentNode)
        if (node === element) return true
      return false
    })
  }

  /** How many sounds the page made. What begins less than half a second apart is one. */
  async sounds(): Promise<number> {
    const starts = await this.page.evaluate(() => (globalThis as unknown as { soundStarts: number[] }).soundStarts)
    return starts.filter((start, i) => i === 0 || start - (starts[i - 1] ?? 0) >= 500).length
  }

  /** Serious and critical violations of WCAG that axe finds, as sentences. */
  async barriers(): Promise<string[]> {
    return barriers(this.page)
  }

  async reloads() {
    await this.page.reload()
    await this.isLive()
  }
}

async function namesOf(list: Locator): Promise<string[]> {
  return list.locator(".name").allTextContents()
}

/** An open chat. */
export class Box {
  readonly locator: Locator

  constructor(
    readonly chat: Chat,
    readonly name: string,
  ) {
    this.locator = chat.page.getByRole("region", { name: `Chat with ${name}`, exact: true })
  }

  async isOpen(): Promise<this> {
    await this.locator.waitFor()
    return this
  }

  async isClosed() {
    await this.locator.waitFor({ state: "detached" })
  }

  button(name: string): Locator {
    return this.locator.getByRole("button", { name, exact: true })
  }

  async close() {
    await this.button("Close chat").click()
    await this.isClosed()
  }

  log(): Locator {
    return this.locator.getByRole("log", { name: "Messages", exact: true })
  }

  /** A message that somebody wrote. */
  message(text: string): Locator {
    return this.log()
      .getByRole("article")
      .filter({ has: this.chat.page.getByText(text, { exact: true }) })
  }

  /** What the transcript says about what happened, such as `You left the group.` */
  line(text: string): Locator {
    return this.log().getByText(text, { exact: true })
  }

  /** The texts of the messages that are on the screen, from above. */
  async texts(): Promise<string[]> {
    return this.log().locator("article p.text").allTextContents()
  }

  composer(): Locator {
    return this.locator.getByRole("textbox", { name: "Message", exact: true })
  }

  /** Writes a message and sends it with Enter. */
  async sends(text: string) {
    await this.composer().fill(text)
    await this.composer().press("Enter")
  }

  /** Waits for a message. */
  async hears(text: string) {
    await this.message(text).waitFor()
  }

  mutedBell(): Locator {
    return this.locator.getByRole("img", { name: "Muted", exact: true })
  }

  menu(): Locator {
    return this.chat.page.getByRole("menu")
  }

  async openOptions(): Promise<Locator> {
    await this.button("Chat options").click()
    await this.menu().waitFor()
    return this.menu()
  }

  option(name: string): Locator {
    return this.menu().getByRole("menuitem", { name, exact: true })
  }

  async chooses(option: string) {
    await this.openOptions()
    await this.option(option).click()
  }

  /** What can be chosen in the options. */
  async options(): Promise<string[]> {
    const menu = await this.openOptions()
    const items = await menu.getByRole("menuitem").allTextContents()
    await this.chat.page.keyboard.press("Escape")
    await menu.waitFor({ state: "detached" })
    return items
  }

  participants(): Locator {
    return this.locator.getByRole("region", { name: "Participants", exact: true })
  }

  async openParticipants(): Promise<Locator> {
    await this.button("Participants").click()
    await this.participants().waitFor()
    return this.participants()
  }

  participant(name: string): Locator {
    return this.participants().getByRole("listitem").filter({ hasText: name })
  }

  /** Picks somebody in the open Participants, once the pen was used. */
  async picks(name: string) {
    await this.participants().getByRole("combobox", { name: "Name or email address", exact: true }).fill(name)
    await this.locator.getByRole("option", { name: begins(name) }).click()
  }

  /** Adds people by the pen. */
  async adds(...names: string[]) {
    await this.participants().getByRole("button", { name: "Edit participants", exact: true }).click()
    for (const name of names) await this.picks(name)
    await this.participants().getByRole("button", { name: "Add", exact: true }).click()
  }
}
