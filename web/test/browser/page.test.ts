import assert from "node:assert/strict"
import { becomes, startWorld } from "./world"

const world = await startWorld({ CORRIDOR_DEMO: "true" })
const { test } = world

test("S1 the chat stands in a page beside other content: no style comes in or goes out, and nothing is kept in the browser", async ({
  ann,
  bob,
}) => {
  await bob.sends(await bob.startsChatWith(ann), "a secret about room 3")
  const chat = await ann.opens({
    html: `<header><button id="theirs" class="box panel message">Theirs</button> <corridor-chat></corridor-chat></header>
      <main><h2 class="separator">Waiting room</h2><p class="message">Nobody waits.</p><input aria-label="Search patients"></main>`,
    css: `* { color: rgb(255, 0, 0) !important; font-size: 40px !important; letter-spacing: 9px !important }
      button { transform: rotate(5deg) !important } #theirs { padding: 3px !important }`,
  })
  const theirs = () =>
    chat.page.evaluate(() =>
      ["#theirs", "main h2", "main p", "main input", "html", "body"].map((selector) => {
        const style = getComputedStyle(document.querySelector(selector) as Element)
        return Array.from(style, (property) => `${property}: ${style.getPropertyValue(property)}`).join("; ")
      }),
    )
  const before = await theirs()

  const box = await chat.opens("Bob Okafor")
  await box.hears("a secret about room 3")
  await box.sends("understood")
  await box.message("understood").getByText(/Sent/).waitFor()

  assert.deepEqual(await theirs(), before, "the page looks as before")
  const text = box.message("understood").locator("p.text")
  const looks = await text.evaluate((element) => {
    const { color, fontSize, letterSpacing } = getComputedStyle(element)
    return { color, fontSize, letterSpacing }
  })
  assert.notEqual(looks.fontSize, "40px")
  assert.notEqual(looks.color, "rgb(255, 0, 0)")
  assert.notEqual(looks.letterSpacing, "9px")
  assert.equal(await box.button("Send").evaluate((button) => getComputedStyle(button).transform), "none")
  const { heads, kept, address } = await chat.page.evaluate(async () => ({
    heads: [
      ...document.head.querySelectorAll("style, link:not([href^='/host'], [rel=modulepreload])"),
      ...document.body.querySelectorAll(":scope > :not(header, main)"),
    ].map((element) => element.outerHTML),
    kept: [
      ...Object.keys(localStorage),
      ...Object.keys(sessionStorage),
      document.cookie,
      ...(await indexedDB.databases()).map(({ name }) => name),
      ...(await caches.keys()),
    ].filter(Boolean),
    address: location.href,
  }))
  assert.deepEqual(heads, [], "nothing was added to the page")
  assert.deepEqual(kept, [])
  assert.deepEqual(await chat.page.context().cookies(), [])
  assert.equal(address, `${chat.url}/host`)
})

test("S1 the page hears how much is unread, may show the name itself, opens a chat, and moves the element about", async ({
  ann,
  bob,
}) => {
  const withAnn = await bob.startsChatWith(ann)
  const chat = await ann.opens({ attributes: "hide-name" })
  assert.equal(await chat.root().getByText("Ann Lee").count(), 0)
  await chat.page.evaluate(() => {
    const heard: unknown[] = []
    Object.assign(globalThis, { heard })
    document
      .querySelector("corridor-chat")
      ?.addEventListener("unreadchange", (event) => heard.push((event as CustomEvent).detail))
  })

  await bob.sends(withAnn, "hello")

  await becomes(
    "it heard of one",
    () => chat.page.evaluate(() => (globalThis as unknown as { heard: unknown[] }).heard.at(-1)),
    { conversations: 1, messages: 1 } as unknown,
  )
  await chat.page.evaluate(() =>
    document.querySelector("main")?.append(document.querySelector("corridor-chat") as Element),
  )
  await chat.isLive()
  await chat.box("Bob Okafor").close()
  await chat.page.evaluate(
    (id) => (document.querySelector("corridor-chat") as unknown as { open: (id: string) => void }).open(id),
    withAnn,
  )
  await chat.box("Bob Okafor").hears("hello")
})

test("S1 who is signed out in the page is told so, and nothing of the chat is left when another signs in", async ({
  ann,
  bob,
  cai,
}) => {
  await bob.sends(await bob.startsChatWith(ann), "for Ann only")
  const chat = await ann.opens()
  await (await chat.opens("Bob Okafor")).hears("for Ann only")
  const token = await cai.token()

  await chat.page.evaluate((token) => {
    Object.assign(document.querySelector("corridor-chat") as Element, { token: () => Promise.resolve(token) })
  }, token)

  await chat.root().getByText("Cai Wu", { exact: true }).waitFor()
  await chat.isLive()
  assert.equal(await chat.page.getByText("for Ann only").count(), 0)
  await chat.page.evaluate(() => {
    Object.assign(document.querySelector("corridor-chat") as Element, {
      token: () => Promise.reject(new Error("signed out")),
    })
  })
  await chat.sees("You are signed out.")
})

test("S7 S8 S60 S63 the page at / signs one in to the demo clinic, and its help has the sections of the help page", async () => {
  const context = await (await world.browser()).newContext({ locale: "en-US" })
  try {
    const page = await context.newPage()
    const complaints: string[] = []
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()))
    page.on("pageerror", (error) => complaints.push(error.message))
    page.on("request", (request) => {
      const { protocol, origin } = new URL(request.url())
      if (protocol.startsWith("http") && origin !== world.url) complaints.push(request.url())
    })
    await page.goto(world.url)
    await page.getByRole("heading", { name: "Sign in to Lakeside Clinic", exact: true }).waitFor()

    await page.getByRole("button", { name: /^Ann Lee/ }).click()

    await page.locator('corridor-chat [data-connection="live"]').waitFor({ state: "attached" })
    for (const name of [
      "Start or Continue Chat with Provider/Staff",
      "Add and Remove Participants from Group Chat",
      "Add a Participant",
      "Remove a Participant",
      "Manage Chat Options",
      "Mute/Unmute Notifications",
      "Archive Chat",
      "Leave Group Chat",
      "Delete Group",
      "Scope and Limitations",
    ])
      await page.getByRole("heading", { name, exact: true }).waitFor()
    await page.getByRole("button", { name: "Chats", exact: true }).click()
    await page.getByRole("list", { name: "Recent chats", exact: true }).getByRole("button").first().waitFor()
    assert.deepEqual(complaints, [])
  } finally {
    await context.close()
  }
})
