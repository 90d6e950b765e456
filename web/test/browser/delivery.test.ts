import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { promisify } from "node:util"
import type { Box, Chat } from "./chat"
import { becomes, type Clinic, eventually, type Person, startWorld } from "./world"

const world = await startWorld()
const { test } = world

/** Ann and Bob in pages of their own, behind a proxy, in a group that both look at. */
async function conversation({ ann, bob }: Clinic) {
  const proxy = await world.proxy()
  const group = await ann.createsGroup("Flu clinic", bob)
  await ann.sends(group, "hello")
  const chats = await Promise.all([ann.opens({ at: proxy.url }), bob.opens({ at: proxy.url })])
  for (const chat of chats) chat.expectsToLoseTheServer()
  const boxes = await Promise.all([chats[0].opens("Flu clinic"), chats[1].opens("Flu clinic")])
  for (const box of boxes) await box.hears("hello")
  return { proxy, group, chats, boxes }
}

/** Everybody has every message once, and all in the order in which the server has them. */
async function endAlike(clinic: Clinic, group: string, boxes: Box[], count: number) {
  await becomes("the server has all of them", async () => (await clinic.ann.transcript(group)).length, count)
  const whole = await clinic.ann.transcript(group)
  assert.equal(new Set(whole).size, count, "each is there once")
  for (const box of boxes) {
    await becomes(`${box.chat.name} sees the end`, async () => (await box.texts()).slice(-5), whole.slice(-5))
    await becomes(`${box.chat.name} sees nothing on its way`, () => box.log().getByText("Sending…").count(), 0)
  }
}

/** Ann and Bob write in turn; somewhere in it something happens. */
async function keepSending(boxes: [Box, Box], times: number, meanwhile: Record<number, () => Promise<void>>) {
  for (let i = 1; i <= times; i++) {
    await meanwhile[i]?.()
    for (const box of boxes) await box.sends(`${box.chat.name} ${String(i)}`)
  }
}

test("a reload in the middle of a conversation loses nothing, nor does what was said meanwhile come twice", async (clinic) => {
  const { chats, boxes, group } = await conversation(clinic)
  await boxes[0].sends("one")
  await boxes[1].hears("one")

  const reloaded = chats[1].reloads()
  await boxes[0].sends("two")
  await reloaded

  const again = await chats[1].opens("Flu clinic")
  await boxes[0].sends("three")
  await again.hears("three")
  await endAlike(clinic, group, [boxes[0], again], 4)
})

test("a network that is away for a while: what was written goes when it is back, everything once and in order", async (clinic) => {
  const { proxy, chats, boxes, group } = await conversation(clinic)

  await keepSending(boxes, 6, {
    3: async () => {
      proxy.cut()
      await Promise.all(chats.map((chat) => chat.isInterrupted()))
      await chats[0].sees("No connection. Messages arrive when it is back.")
      await clinic.ann.sends(group, "from another device")
    },
    5: async () => {
      await boxes[0].message("Ann Lee 4").getByText("Sending…").waitFor()
      proxy.mend()
      await Promise.all(chats.map((chat) => chat.isLive()))
    },
  })

  await endAlike(clinic, group, boxes, 14)
})

test("a server that is killed and started again in the middle loses nothing and doubles nothing", async (clinic) => {
  const { chats, boxes, group } = await conversation(clinic)

  await keepSending(boxes, 6, {
    3: async () => {
      await world.server.stop("SIGKILL")
      await Promise.all(chats.map((chat) => chat.isInterrupted()))
    },
    5: () => world.server.start(),
  })

  await Promise.all(chats.map((chat) => chat.isLive()))
  await endAlike(clinic, group, boxes, 13)
})

test("another instance takes over on the same database, and nobody notices more than a moment", async (clinic) => {
  const { proxy, chats, boxes, group } = await conversation(clinic)
  const another = await world.anotherServer()

  await keepSending(boxes, 6, {
    3: () => {
      proxy.turnTo(() => another.url)
      return Promise.resolve()
    },
    5: () => {
      proxy.turnTo(() => world.url)
      return Promise.resolve()
    },
  })

  await Promise.all(chats.map((chat) => chat.isLive()))
  await endAlike(clinic, group, boxes, 13)
})

test("S6 E9 what changed while Bob had no network is as it is now when he is back", async (clinic) => {
  const { ann, bob } = clinic
  const { proxy, chats, boxes, group } = await conversation(clinic)

  proxy.cut()
  await chats[1].isInterrupted()
  await ann.renames(group, "Flu clinic B")
  await ann.removes(group, bob)
  await ann.sends(group, "after that")
  proxy.mend()

  const box = chats[1].box("Flu clinic B")
  await box.line("You were removed from the group.").waitFor()
  assert.equal(await box.composer().isDisabled(), true)
  assert.equal(await box.message("after that").count(), 0)
  await chats[0].box("Flu clinic B").hears("after that")
  assert.equal(await boxes[0].locator.count(), 0)
})

test("S52 what the server refuses stays as not sent, to be discarded", async ({ ann, bob }) => {
  const proxy = await world.proxy()
  const group = await ann.createsGroup("Flu clinic", bob)
  const chat = await bob.opens({ at: proxy.url })
  chat.expectsToLoseTheServer()
  const box = await chat.opens("Flu clinic")
  proxy.cut()
  await chat.isInterrupted()
  await box.sends("too late")
  await ann.removes(group, bob)

  proxy.mend()

  await box.message("too late").getByText("Not sent", { exact: true }).waitFor()
  await box.message("too late").getByRole("button", { name: "Try again", exact: true }).waitFor()
  await box.message("too late").getByRole("button", { name: "Discard", exact: true }).click()
  await box.message("too late").waitFor({ state: "detached" })
  assert.deepEqual(await ann.transcript(group), [])
})

/** Every message that a box shows, from the first to the last, by scrolling through all of it. */
async function readThrough(box: Box): Promise<string[]> {
  const lines = box.log().locator(".lines")
  let before = ""
  // Up to where nothing comes any more, then down.
  await eventually(
    "the beginning",
    async () => {
      const top = await lines.evaluate((element) => {
        const last = element.scrollTop
        element.scrollTop = 0
        return `${String(last)} ${String(element.scrollHeight)}`
      })
      const texts = await box.texts()
      const now = `${top} ${texts.join("|")}`
      const isSame = now === before && top.startsWith("0 ")
      before = now
      await pause(120)
      return isSame
    },
    (isSame) => isSame,
  )
  const seen: string[] = []
  for (let still = 0; still < 4;) {
    const shown = await box.texts()
    // The part that was there already, then what is new behind it.
    const overlap = shown.findIndex((text) => text === seen.at(-1))
    const fresh = overlap < 0 ? shown : shown.slice(overlap + 1)
    seen.push(...fresh)
    const moved = await lines.evaluate((element) => {
      const last = element.scrollTop
      element.scrollTop += element.clientHeight * 0.7
      return element.scrollTop !== last
    })
    still = moved || fresh.length > 0 ? 0 : still + 1
    await pause(moved ? 50 : 120)
  }
  return seen
}

/** Sends many by the API, in no order. */
async function sendsMany(person: Person, conversation: string, count: number, name: (i: number) => string) {
  let next = 0
  const worker = async () => {
    while (next < count) await person.sends(conversation, name(next++))
  }
  await Promise.all(Array.from({ length: 16 }, worker))
}

/** Sends many by the API, one after the other. */
async function sendsInTurn(person: Person, conversation: string, count: number, name: (i: number) => string) {
  for (let i = 0; i < count; i++) await person.sends(conversation, name(i))
}

/** What keeps the page's one thread for longer than 50 ms, from now on, in milliseconds. */
async function watchesLongTasks(chat: Chat): Promise<() => Promise<number[]>> {
  await chat.page.evaluate(() => {
    const found: number[] = []
    Object.assign(globalThis, { longTasks: found })
    new PerformanceObserver((list) => found.push(...list.getEntries().map(({ duration }) => duration))).observe({
      type: "longtask",
    })
  })
  return async () => {
    await pause(300)
    return chat.page.evaluate(() => (globalThis as unknown as { longTasks: number[] }).longTasks.splice(0))
  }
}

const said = (tasks: number[]) =>
  `${String(tasks.length)} long tasks, ${String(Math.round(tasks.reduce((sum, task) => sum + task, 0)))} ms in all, the longest ${String(Math.round(Math.max(0, ...tasks)))} ms`

test("half a minute without a network while both write, in pages and by the API: all once, all in one order, from first to last", async (clinic) => {
  const { ann, bob } = clinic
  const { proxy, chats, boxes, group } = await conversation(clinic)
  let count = 1
  const say = async (i: number) => {
    await boxes[0].sends(`Ann's page ${String(i)}`)
    await boxes[1].sends(`Bob's page ${String(i)}`)
    await ann.sends(group, `Ann's phone ${String(i)}`)
    await bob.sends(group, `Bob's phone ${String(i)}`)
    count += 4
  }
  for (let i = 0; i < 5; i++) await say(i)

  proxy.cut()
  const until = Date.now() + 30_000
  await Promise.all(chats.map((chat) => chat.isInterrupted()))
  for (let i = 5; i < 12; i++) {
    await say(i)
    await boxes[0]
      .message(`Ann's page ${String(i)}`)
      .getByText("Sending…", { exact: true })
      .waitFor()
  }
  await chats[1].sees("No connection. Messages arrive when it is back.")
  await pause(until - Date.now())
  proxy.mend()
  for (let i = 12; i < 16; i++) await say(i)
  await Promise.all(chats.map((chat) => chat.isLive()))

  await endAlike(clinic, group, boxes, count)
  const whole = await ann.transcript(group)
  for (const box of boxes) assert.deepEqual(await readThrough(box), whole, `${box.chat.name} sees all in order`)
})

test("a server that is stopped while another one has taken over: all once, all in one order", async (clinic) => {
  const { proxy, chats, boxes, group } = await conversation(clinic)
  const another = await world.anotherServer()
  try {
    await keepSending(boxes, 8, {
      3: async () => {
        proxy.turnTo(() => another.url)
        await world.server.stop()
      },
    })
    await Promise.all(chats.map((chat) => chat.isLive()))
  } finally {
    await world.server.start()
  }
  await endAlike(clinic, group, boxes, 17)
  const whole = await clinic.ann.transcript(group)
  for (const box of boxes) assert.deepEqual(await readThrough(box), whole)
})

test("when the server says to fetch everything again, the page does: what it knew and what is new is there once", async (clinic, t) => {
  const { proxy, chats, boxes, group } = await conversation(clinic)
  await keepSending(boxes, 3, {})
  await endAlike(clinic, group, boxes, 7)
  const socket =
    (await readFile(join(world.server.dataDir, "pgdata", "postmaster.pid"), "utf8")).split("\n")[4]?.trim() ?? ""
  const sql = "UPDATE feed_state SET incarnation = (random() * 4294967295)::bigint"
  const done = await promisify(execFile)("psql", ["-h", socket, "-U", "corridor", "-d", "corridor", "-c", sql]).then(
    () => true,
    (reason: unknown) => {
      if ((reason as { code?: unknown }).code === "ENOENT") return false
      throw reason
    },
  )
  if (!done) {
    t.skip("there is no psql here to say what a restore says")
    return
  }
  proxy.cut()
  await Promise.all(chats.map((chat) => chat.isInterrupted()))
  await clinic.ann.sends(group, "meanwhile")
  proxy.mend()
  await Promise.all(chats.map((chat) => chat.isLive()))
  await boxes[0].sends("afterwards")

  await endAlike(clinic, group, boxes, 9)
  const whole = await clinic.ann.transcript(group)
  for (const box of boxes) assert.deepEqual(await readThrough(box), whole)
})

test("S12 a long chat opens at the first unread message; more comes in both directions, and nothing jumps", async ({
  ann,
  bob,
}) => {
  const group = await ann.createsGroup("Flu clinic", bob)
  await sendsInTurn(ann, group, 150, (i) => `old ${String(i)}`)
  await bob.reads(group)
  await sendsInTurn(ann, group, 150, (i) => `new ${String(i)}`)
  const chat = await bob.opens()
  const box = await chat.opens("Flu clinic")

  await box.line("New messages").waitFor()
  await box.hears("new 0")
  assert.equal(await box.message("new 149").count(), 0)
  await eventually(
    "the first unread message is on the screen",
    () =>
      box.message("new 0").evaluate((element) => {
        const view = element.closest(".lines")?.getBoundingClientRect()
        const { top, bottom } = element.getBoundingClientRect()
        return view !== undefined && top >= view.top && bottom <= view.bottom
      }),
    (isSeen) => isSeen,
  )

  // Upwards by the wheel: what one looks at moves only as far as one turned, though pages come in above it.
  await box.log().hover()
  const place = () =>
    box
      .log()
      .locator(".lines")
      .evaluate((element) => {
        const view = element.getBoundingClientRect()
        const line = [...element.querySelectorAll("article p.text")].find(
          (text) => text.getBoundingClientRect().top > view.top + view.height / 2,
        )
        return { text: line?.textContent ?? "", top: line?.getBoundingClientRect().top ?? 0 }
      })
  const placeOf = (text: string) =>
    box
      .message(text)
      .locator("p.text")
      .evaluate((element) => element.getBoundingClientRect().top)
  for (let i = 0; i < 25; i++) {
    await chat.page.mouse.wheel(0, -300)
    await pause(60)
    if (i % 5 !== 4) continue
    await pause(250)
    const { text, top } = await place()
    await pause(700)
    const now = await placeOf(text)
    assert.ok(Math.abs(now - top) <= 2, `${text} stays where it is: it was at ${String(top)}, and is at ${String(now)}`)
  }
  const whole = await ann.transcript(group)
  assert.equal(whole.length, 300)
  assert.deepEqual(await readThrough(box), whole)

  await box
    .log()
    .locator(".lines")
    .evaluate((element) => (element.scrollTop = 0))
  await box.button("Newest messages").click()
  await box.hears("new 149")
  await box.button("Newest messages").waitFor({ state: "detached" })
  await ann.sends(group, "the very last")
  await box.hears("the very last")
})

test("a chat with 5,000 messages opens and is written in, and 500 that come at once are all there in order", async ({
  ann,
  bob,
}, t) => {
  const group = await ann.createsGroup("Flu clinic", bob)
  await sendsMany(ann, group, 5_000, (i) => `message ${String(i)}`)
  await bob.reads(group)
  const chat = await bob.opens()
  const longTasks = await watchesLongTasks(chat)
  const whole = await ann.transcript(group)
  assert.equal(whole.length, 5_000)

  const box = await chat.opens("Flu clinic")
  await box.hears(whole.at(-1) ?? "")
  t.diagnostic(`opening: ${said(await longTasks())}`)
  await box.composer().pressSequentially("Can somebody look after room 4, please?", { delay: 10 })
  t.diagnostic(`typing: ${said(await longTasks())}`)
  await box.composer().fill("")

  const begin = Date.now()
  await sendsMany(ann, group, 500, (i) => `burst ${String(i)}`)
  const all = await ann.transcript(group)
  await box.hears(all.at(-1) ?? "")
  t.diagnostic(`500 that come at once, in ${String(Date.now() - begin)} ms: ${said(await longTasks())}`)
  assert.equal(all.length, 5_500)
  await becomes("the end is there", async () => (await box.texts()).slice(-5), all.slice(-5))
  const lines = box.log().locator(".lines")
  const seen: string[] = []
  for (let pages = 0; seen.length < 500 && pages < 400; pages++) {
    const shown = await box.texts()
    const overlap = shown.lastIndexOf(seen[0] ?? "")
    seen.unshift(...(overlap < 0 ? shown : shown.slice(0, overlap)))
    await lines.evaluate((element) => (element.scrollTop -= element.clientHeight * 0.6))
    await pause(40)
  }
  assert.deepEqual(seen.slice(-500), all.slice(-500), "each of the 500 once, in the server's order")
})

test("the page with the chat loads less than 200 KB until it is live", async ({ ann }, t) => {
  const chat = await ann.opens()
  const context = chat.page.context()
  const page = await context.newPage()
  const devtools = await context.newCDPSession(page)
  await devtools.send("Network.enable")
  await devtools.send("Network.setCacheDisabled", { cacheDisabled: true })
  const parts = new Map<string, string>()
  let bytes = 0
  devtools.on("Network.responseReceived", ({ requestId, type, response }) => {
    if (["Document", "Script", "Stylesheet"].includes(type)) parts.set(requestId, response.url)
  })
  devtools.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    if (parts.has(requestId)) bytes += encodedDataLength
  })
  await page.goto(`${world.url}/host`)
  await page.locator('corridor-chat [data-connection="live"]').waitFor({ state: "attached" })
  await pause(300)
  t.diagnostic(`${String(bytes)} bytes of scripts, styles and HTML in ${String(parts.size)} files`)
  assert.equal(
    [...parts.values()].some((url) => url.endsWith("/corridor.js")),
    true,
  )
  assert.ok(bytes > 20_000, "it was counted")
  assert.ok(bytes < 200_000, `${String(bytes)} bytes`)
})
