// The chat in pages of others (S1): what README.md and docs/embedding.md say works to the letter.

import assert from "node:assert/strict"
import { once } from "node:events"
import { readFile } from "node:fs/promises"
import { createServer } from "node:http"
import { type AddressInfo } from "node:net"
import { resolve } from "node:path"
import { after } from "node:test"
import type { BrowserContextOptions, Page } from "playwright-core"
import { Chat } from "./chat"
import { becomes, Clinic, eventually, Person, startWorld } from "./world"

/** The clinic's own application, at an origin of its own: what it answers, by path. */
const pages = new Map<string, { body: string; type?: string; policy?: string }>()
const host = createServer((request, response) => {
  const page = pages.get(request.url ?? "")
  if (page?.policy) response.setHeader("Content-Security-Policy", page.policy)
  response.writeHead(page ? 200 : 404, { "Content-Type": page?.type ?? "text/html; charset=utf-8" }).end(page?.body)
}).listen(0, "127.0.0.1")
await once(host, "listening")
after(() => host.close())
const origin = `http://127.0.0.1:${String((host.address() as AddressInfo).port)}`

const world = await startWorld({ CORRIDOR_DEMO: "true", CORRIDOR_ORIGINS: origin })
const { test } = world

/** The demo clinic, whose people are known by the first part of their addresses. */
class Lakeside extends Clinic {
  override email(key: string) {
    return `${key}@lakeside.example`
  }
}
const lakeside = new Lakeside(world, "Lakeside Clinic", 0)
const ann = new Person(lakeside, "ann.lee", "Ann Lee")
const bob = new Person(lakeside, "bob.okafor", "Bob Okafor")

const documents = resolve(import.meta.dirname, "../../..")

/** A page that the harness has no part in. What it asks of others than the two servers is a complaint. */
async function visits(clinic: Clinic, url: string, options: BrowserContextOptions = {}): Promise<Chat> {
  const context = await (await world.browser()).newContext({ locale: "en-US", ...options })
  context.setDefaultTimeout(20_000)
  await context.addInitScript(() =>
    document.addEventListener("securitypolicyviolation", (event) =>
      console.error(`CSP: ${event.violatedDirective} forbids ${event.blockedURI}`),
    ),
  )
  const chat = new Chat(await context.newPage(), url, world.url)
  chat.expects(new RegExp(`^asked another server: ${origin}/`), /favicon\.ico/)
  clinic.chats.push(chat)
  await chat.page.goto(url)
  return chat
}

/** Both write to each other, in the page and at the other end. */
async function converses(chat: Chat, words: string) {
  const id = await bob.startsChatWith(ann)
  await chat.isLive()
  await bob.sends(id, `${words}?`)
  const box = await chat.box(bob.name).isOpen()
  await box.hears(`${words}?`)
  await box.sends(`${words}!`)
  await eventually(
    "Bob has it",
    () => bob.transcript(id),
    (texts) => texts.at(-1) === `${words}!`,
  )
}

const readme = await readFile(resolve(documents, "README.md"), "utf8")
const snippet = /## Put it into a page[\s\S]*?```html\n([\s\S]*?)```/.exec(readme)?.[1] ?? ""
pages.set("/", { body: snippet.replaceAll("http://127.0.0.1:8080", world.url) })

test("S1 the ten lines of README.md are a whole page with the chat, from another origin", async (clinic) => {
  assert.match(snippet, /<corridor-chat>/)
  assert.ok(snippet.trimEnd().split("\n").length <= 10, "it has ten lines at most")

  const chat = await visits(clinic, `${origin}/`)

  await chat.root().getByText("Ann Lee", { exact: true }).waitFor()
  await converses(chat, "the snippet")
  assert.equal(await chat.page.title(), "Waiting room")
  await chat.sees("Everything else of the page.")
})

test("S1 a page that is not in CORRIDOR_ORIGINS may not use the API", async (clinic) => {
  const elsewhere = origin.replace("127.0.0.1", "localhost")
  const page = await visits(clinic, `${origin}/`)
  page.expects(/./)
  await page.page.goto(elsewhere)
  await page.element().waitFor({ state: "attached" })
  await page.page.waitForLoadState("networkidle")

  const answers = await page.page.evaluate(
    (url) =>
      Promise.all(
        ["/graphql", "/demo/token"].map((path) =>
          fetch(url + path, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" }).then(
            ({ status }) => status,
            () => "not to be read",
          ),
        ),
      ),
    world.url,
  )
  assert.deepEqual(answers, ["not to be read", "not to be read"])
  assert.equal(await page.page.locator('corridor-chat [data-connection="live"]').count(), 0)
  assert.equal(await page.page.getByText("Ann Lee").count(), 0)
})

test("S1 the policy that docs/embedding.md names is all that a strict page needs", async (clinic) => {
  const docs = await readFile(resolve(documents, "docs/embedding.md"), "utf8")
  const named = /\n\n {4}(script-src[^\n]+)\n {4}(img-src[^\n]+)\n/.exec(docs)
  assert.ok(named, "docs/embedding.md has the policy")
  const policy = `${named[1] ?? ""} ${named[2] ?? ""}`
    .replaceAll("wss://chat.example.org", world.url.replace("http", "ws"))
    .replaceAll("https://chat.example.org", world.url)
    .replace("script-src", "script-src 'self'")
    .replace("connect-src", "connect-src 'self'")
  pages.set("/chat-token", { body: await ann.token(), type: "text/plain" })
  pages.set("/host.js", {
    body: `document.querySelector("corridor-chat").token = async () => (await fetch("/chat-token")).text()`,
    type: "text/javascript",
  })
  pages.set("/strict", {
    policy: `default-src 'none'; base-uri 'none'; form-action 'none'; ${policy}`,
    body: `<!doctype html><title>Strict</title><script type="module" src="${world.url}/corridor.js"></script>
      <corridor-chat></corridor-chat><script type="module" src="/host.js"></script>`,
  })

  const chat = await visits(clinic, `${origin}/strict`)

  await converses(chat, "strictly")
  await chat.box(bob.name).openOptions()
  await chat.page.keyboard.press("Escape")
  await chat.seesAllChats()
  await chat.closesAllChats()
})

test("S1 /example is a page with the chat in it", async (clinic) => {
  const chat = await visits(clinic, `${world.url}/example`)

  await chat.root().getByText("Ann Lee", { exact: true }).waitFor()
  await converses(chat, "an example")
})

test("S1 the token is asked for again when it is over, and nothing is lost meanwhile", async ({ ann, bob }) => {
  const id = await bob.startsChatWith(ann)
  const chat = await ann.opens()
  let asked = 0
  await chat.page.exposeFunction("shortToken", () => {
    asked++
    return world.runs("token", "--email", ann.email, "--clinic", ann.clinic.name, "--ttl", "2s")
  })
  await chat.page.evaluate(() => {
    Object.assign(document.querySelector("corridor-chat") as Element, { token: undefined })
  })
  await turnsTo(chat.page, "shortToken")
  await eventually(
    "three tokens were asked for",
    () => asked,
    (times) => times >= 3,
  )

  await chat.isLive()
  await bob.sends(id, "still there?")
  const box = await chat.box("Bob Okafor").isOpen()
  await box.hears("still there?")
  await box.sends("still here")
  await eventually(
    "Bob has it",
    () => bob.transcript(id),
    (texts) => texts.at(-1) === "still here",
  )
  assert.ok(asked < 30, `${String(asked)} tokens are too many`)
})

/** Has the element ask another function of the page for tokens. */
async function turnsTo(page: Page, name: string) {
  await page.evaluate((name) => {
    const element = document.querySelector("corridor-chat") as Element & { token: unknown }
    element.token = (globalThis as unknown as Record<string, unknown>)[name]
  }, name)
}

test("S1 an element that is taken out closes its socket and asks for nothing more; put back, it is there again", async ({
  ann,
  bob,
}) => {
  const chat = await ann.opens()
  const { page } = chat
  const socket = page.waitForEvent("websocket")
  await chat.reloads()
  const open = await socket
  assert.equal(!open.isClosed(), true)

  await page.evaluate(() => {
    const element = document.querySelector("corridor-chat")
    Object.assign(globalThis, { element })
    element?.remove()
  })
  await eventually("the socket is closed", () => open.isClosed(), Boolean)
  let requests = 0
  page.on("request", () => requests++)
  await bob.sends(await bob.startsChatWith(ann), "nobody hears")
  await page.waitForTimeout(1_500)
  assert.equal(requests, 0)

  await page.evaluate(() => document.body.append((globalThis as unknown as { element: Element }).element))
  await chat.isLive()
  await becomes("what came meanwhile is unread", () => chat.unread(), 1)
})

test("S1 another token is another person, and of the first there is nothing to be seen", async ({ ann, bob, eve }) => {
  const withAnn = await bob.startsChatWith(ann)
  await bob.sends(withAnn, "only for Ann")
  const first = await ann.opens()
  const { page } = first
  const box = await first.opens("Bob Okafor")
  await box.hears("only for Ann")
  await box.composer().fill("half a thought")
  await page.exposeFunction("otherToken", () => eve.token())

  await turnsTo(page, "otherToken")

  await first.root().getByText("Eve Stone", { exact: true }).waitFor()
  await first.isLive()
  const left = await page.evaluate(() => document.querySelector("corridor-chat")?.shadowRoot?.textContent ?? "")
  for (const word of ["Ann", "Bob", "only for Ann"]) assert.ok(!left.includes(word), `${word} is still there: ${left}`)
  assert.equal(await page.getByRole("textbox", { name: "Message" }).count(), 0)
  await bob.sends(withAnn, "for Ann again")
  await page.waitForTimeout(500)
  assert.equal(await page.getByText("for Ann again").count(), 0)
})

test("S1 the page hears of what is unread, opens chats and all of them, and hides the name", async ({ ann, bob }) => {
  const id = await bob.startsChatWith(ann)
  const chat = await ann.opens({ attributes: "hide-name" })
  const { page } = chat
  assert.equal(await chat.root().getByText("Ann Lee", { exact: true }).count(), 0)
  await page.evaluate(() => {
    const heard: unknown[] = []
    Object.assign(globalThis, { heard })
    document.querySelector("corridor-chat")?.addEventListener("unreadchange", (event) => {
      heard.push((event as CustomEvent).detail)
    })
  })
  const last = () => page.evaluate(() => (globalThis as unknown as { heard: unknown[] }).heard.at(-1))
  const asks = (method: "open" | "openAllChats", ...names: string[]) =>
    page.evaluate(
      ([method, ...names]) => {
        const element = document.querySelector("corridor-chat") as unknown as Record<string, (id?: string) => void>
        element[method ?? ""]?.(...names)
      },
      [method, ...names],
    )

  await bob.sends(id, "one")
  await bob.sends(id, "two")
  await becomes("it heard of two", last, { conversations: 1, messages: 2 } as unknown)
  await chat.box("Bob Okafor").close()
  await asks("open", id)
  await chat.box("Bob Okafor").hears("two")
  await becomes("they are read", last, { conversations: 0, messages: 0 } as unknown)
  await chat.box("Bob Okafor").close()
  await asks("openAllChats")
  await chat.listed("Bob Okafor").waitFor()
  await chat.closesAllChats()
  await page.evaluate(() => document.querySelector("corridor-chat")?.removeAttribute("hide-name"))
  await chat.root().getByText("Ann Lee", { exact: true }).waitFor()
})

test("S1 a page may open a chat as soon as it has the element", async ({ ann, bob }) => {
  const id = await bob.startsChatWith(ann)
  await bob.sends(id, "from a link")
  const chat = await ann.opens()

  await chat.page.evaluate((id) => {
    const old = document.querySelector("corridor-chat") as Element & { token: unknown }
    const element = Object.assign(document.createElement("corridor-chat"), {
      token: old.token,
    }) as unknown as Element & {
      open: (id: string) => void
    }
    old.replaceWith(element)
    element.open(id)
  }, id)

  await (await chat.box("Bob Okafor").isOpen()).hears("from a link")
})

test("S1 two elements on one page, of two people, do not disturb each other", async ({ ann, bob }) => {
  const id = await ann.startsChatWith(bob)
  await ann.sends(id, "hello")
  const chat = await ann.opens({
    html: `<corridor-chat></corridor-chat><p>Between</p><corridor-chat id="his"></corridor-chat>`,
  })
  const { page } = chat
  await page.exposeFunction("hisToken", () => bob.token())
  await page.evaluate(() => {
    const { hisToken } = globalThis as unknown as { hisToken: () => Promise<string> }
    Object.assign(document.querySelector("#his") as Element, { token: () => hisToken() })
  })
  await page.locator('#his [data-connection="live"]').waitFor({ state: "attached" })

  await page.evaluate(
    (id) => (document.querySelector("#his") as unknown as { open: (id: string) => void }).open(id),
    id,
  )
  const his = page.locator("#his").getByRole("region", { name: "Chat with Ann Lee", exact: true })
  await his.getByText("hello", { exact: true }).waitFor()
  await his.getByRole("textbox", { name: "Message", exact: true }).fill("hello yourself")
  await page.keyboard.press("Enter")

  const hers = page.locator("corridor-chat").first().getByRole("region", { name: "Chat with Bob Okafor", exact: true })
  await hers.getByText("hello yourself", { exact: true }).waitFor()
})

/** What pages do to everything, and what they let the rest inherit. */
const wild = `
  body { font: italic bold 30px/3 fantasy; color: rgb(255, 0, 0); letter-spacing: 5px; word-spacing: 9px; text-transform: uppercase;
    text-align: center; text-indent: 40px; white-space: pre; text-shadow: 1px 1px red; list-style: square; cursor: wait;
    word-break: break-all; font-variant: small-caps; tab-size: 3; hyphens: auto; text-wrap: nowrap }
  body, body * { color: red !important; font-size: 40px !important }
  button, textarea, ul, li, p, h2, article { border: 9px solid lime !important; padding: 30px !important; display: block !important }
  .box, .row, .message, .bubble, .panel, .corridor { outline: 5px solid lime !important }`

/** How the chat looks in a page with such styles: what is inherited, and what rules for everything reach, a line for each. */
async function looks({ ann, bob }: Clinic, css: string): Promise<string[]> {
  const chat = await ann.opens({ css, reducedMotion: "reduce" })
  const box = await chat.opens(bob.name)
  await box.hears("the same everywhere")
  const seen = await chat.page.evaluate(() => {
    const properties = [
      ..."color font-family font-size font-style font-weight font-variant-caps line-height letter-spacing".split(" "),
      ..."word-spacing text-transform text-align text-indent white-space-collapse text-wrap-mode text-shadow".split(
        " ",
      ),
      ..."list-style-type word-break tab-size hyphens padding-top border-top-width outline-style".split(" "),
    ]
    const root = document.querySelector("corridor-chat")?.shadowRoot
    return [".viewer-name", ".box", ".chat-title h2", "article", "p.text", "textarea"].flatMap((selector) => {
      const element = root?.querySelector(selector)
      if (!element) return [`${selector} is missing`]
      const style = getComputedStyle(element)
      return properties.map((name) => `${selector} { ${name}: ${style.getPropertyValue(name)} }`)
    })
  })
  await chat.page.context().close()
  return seen
}

for (const [what, css] of [
  ["what a page does to its own", wild],
  ["a page's size of letters at its root", "html { font-size: 62.5% }"],
] as const)
  test(`S1 ${what} does nothing to the chat`, async (clinic) => {
    await clinic.bob.sends(await clinic.bob.startsChatWith(clinic.ann), "the same everywhere")
    const plain = await looks(clinic, "body { margin: 0 }")

    const there = await looks(clinic, css)

    assert.deepEqual(
      there.filter((line) => !plain.includes(line)),
      [],
    )
  })

test("S1 no address ever holds a name, an e-mail address, a text or a token, and nothing is kept in the browser", async ({
  ann,
  bob,
  cai,
}) => {
  const withAnn = await bob.startsChatWith(ann)
  await bob.sends(withAnn, "potassium is low")
  const chat = await ann.opens()
  const { page } = chat
  const addresses: string[] = []
  page.on("request", (request) => addresses.push(request.url(), request.headers().referer ?? ""))
  page.on("websocket", (socket) => addresses.push(socket.url()))
  page.on("framenavigated", (frame) => addresses.push(frame.url()))
  await chat.reloads()

  const box = await chat.opens("Bob Okafor")
  await box.hears("potassium is low")
  await box.sends("calling the ward")
  await eventually(
    "Bob has it",
    () => bob.transcript(withAnn),
    (texts) => texts.at(-1) === "calling the ward",
  )
  const chooser = page.waitForEvent("filechooser")
  await box.button("Attach files").click()
  await (await chooser).setFiles({ name: "labsheet.txt", mimeType: "text/plain", buffer: Buffer.from("K 2.9\n") })
  await box.locator.getByText("Ready").waitFor()
  await box.button("Send").click()
  const download = page.waitForEvent("download")
  await box.button("Download labsheet.txt").click()
  await (await download).path()
  await box.close()
  const group = await chat.createsGroup("Dialysis team", cai.name)
  await group.chooses("Mute Notifications")
  await group.mutedBell().waitFor()
  await group.close()
  await chat.seesAllChats()
  await chat.listed("Dialysis team").click()
  await chat.box("Dialysis team").isOpen()
  await chat.closesAllChats()

  const told = addresses.map((address) => decodeURIComponent(address).toLowerCase())
  const secrets = ["okafor", "ann lee", "cai wu", "@clinic", "potassium", "calling", "labsheet", "dialysis", "room"]
  for (const secret of [...secrets, ...(await ann.token()).toLowerCase().split(".")])
    assert.deepEqual(
      told.filter((address) => address.includes(secret)),
      [],
      secret,
    )
  assert.ok(told.length > 20, "there was something to look at")
  assert.equal(page.url(), `${chat.url}/host`)
  const kept = await page.evaluate(async () => [
    ...Object.keys(localStorage),
    ...Object.keys(sessionStorage),
    ...(document.cookie ? [document.cookie] : []),
    ...(await indexedDB.databases()).map(({ name }) => name),
    ...(await caches.keys()),
    ...(await navigator.serviceWorker.getRegistrations()).map(({ scope }) => scope),
    ...(history.state === null ? [] : [JSON.stringify(history.state)]),
  ])
  assert.deepEqual(kept, [])
  assert.deepEqual(await page.context().cookies(), [])
})
