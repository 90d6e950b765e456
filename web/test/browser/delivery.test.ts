import assert from "node:assert/strict"
import type { Box } from "./chat"
import { becomes, type Clinic, startWorld } from "./world"

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
    assert.equal(await box.log().getByText("Sending…").count(), 0)
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
  assert.ok(await box.composer().isDisabled())
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
