// Where reading goes on, what counts as read, and what happens when answers, parts of the client or people come late.

import assert from "node:assert/strict"
import { becomes, eventually, type Person, startWorld } from "./world"

const { test } = await startWorld()

async function says(person: Person, conversationId: string, from: number, to: number) {
  for (let i = from; i <= to; i++)
    await person.sends(conversationId, `line ${String(i)} ${"and more of it ".repeat(12)}`)
}

test("S12 only what was on the screen counts as read", async ({ ann, bob }) => {
  const id = await bob.startsChatWith(ann)
  await says(bob, id, 1, 30)
  const chat = await ann.opens()

  const box = await chat.opens("Bob Okafor")

  await box.log().getByText("New messages", { exact: true }).waitFor()
  await eventually(
    "something counts as read",
    () => ann.unreadIn(id),
    (count) => count < 30,
  )
  // Lines of several rows: not even five of them have room in the box.
  assert.ok((await ann.unreadIn(id)) >= 25, `${String(await ann.unreadIn(id))} are unread`)
  await box
    .log()
    .locator(".lines")
    .evaluate((lines) => lines.scrollTo(0, 1_000_000))
  await becomes("all of them were on the screen", () => ann.unreadIn(id), 0)
})

test("S12 S42 a chat that is opened again goes on at the first of the messages that came meanwhile", async ({
  ann,
  bob,
}) => {
  const id = await bob.startsChatWith(ann)
  await says(bob, id, 1, 5)
  await ann.does("muteConversation", { conversationId: id }, "conversation { id }")
  const chat = await ann.opens()
  const box = await chat.opens("Bob Okafor")
  await becomes("the five are read", () => ann.unreadIn(id), 0)
  await box.close()

  await says(bob, id, 6, 30)
  await chat.openDropdown()
  await chat.recent("Bob Okafor").getByLabel("25 unread").waitFor()
  await chat.recent("Bob Okafor").click()

  await box.log().getByText("New messages", { exact: true }).waitFor()
  const first = box.log().getByText("line 6 ", { exact: false }).first()
  await eventually(
    "the first of them is on the screen",
    () => first.boundingBox(),
    (at) => at !== null && at.y > 0 && at.y < 800,
  )
  assert.ok((await ann.unreadIn(id)) >= 20, "what was not on the screen counts as read")
})

test("S23 what one writes is seen at once, however much is unread before it", async ({ ann, bob }) => {
  const id = await bob.startsChatWith(ann)
  await says(bob, id, 1, 60)
  const chat = await ann.opens()
  const box = await chat.opens("Bob Okafor")
  await box.log().getByText("New messages", { exact: true }).waitFor()

  await box.sends("I am on my way")

  await box.message("I am on my way").waitFor()
  await eventually("it stands at the end", () => box.message("I am on my way").isVisible(), Boolean)
  await box.message("I am on my way").getByText("Sent", { exact: false }).waitFor()
})

test("S20 an open box that is chosen again keeps its place in the transcript, and what is typed goes there", async ({
  ann,
  bob,
  cai,
}) => {
  const withBob = await bob.startsChatWith(ann)
  await says(bob, withBob, 1, 20)
  await cai.sends(await cai.startsChatWith(ann), "Hello")
  const chat = await ann.opens()
  const box = await chat.opens("Bob Okafor")
  const lines = box.log().locator(".lines")
  await lines.evaluate((element) => element.scrollTo(0, 1_000_000))
  await becomes("all is read", () => ann.unreadIn(withBob), 0)
  const place = await lines.evaluate((element) => element.scrollTop)
  await chat.opens("Cai Wu")

  await chat.opens("Bob Okafor")

  await eventually("what is typed goes there", () => chat.hasFocusIn(box.composer()), Boolean)
  assert.ok(Math.abs((await lines.evaluate((element) => element.scrollTop)) - place) < 5, "the transcript has moved")
})

test("S55 E6 E10 who is added again sees in the open box what they see in the API, and nothing of the gap", async ({
  ann,
  bob,
  cai,
}) => {
  const group = await ann.createsGroup("Night shift", bob, cai)
  await ann.sends(group, "before")
  const chat = await bob.opens()
  const box = await chat.opens("Night shift")
  await box.hears("before")
  await ann.removes(group, bob)
  await box.locator.getByText("You were removed from the group.", { exact: true }).last().waitFor()
  await ann.sends(group, "in the gap")

  await ann.adds(group, bob)
  await ann.sends(group, "after")

  await box.hears("after")
  const { node } = await bob.asks<{ node: { messages: { nodes: { text: string }[] } } }>(
    "query ($id: ID!) { node(id: $id) { ... on Conversation { messages { nodes { text } } } } }",
    { id: group },
  )
  const seen = node.messages.nodes.map(({ text }) => text)
  assert.equal(seen.includes("Ann Lee added you.") && !seen.includes("in the gap"), true)
  await becomes(
    "the transcript is that of the API",
    () => box.log().locator(".text, .system-line").allInnerTexts(),
    seen,
  )
})

test("S59 E24 an answer that was on its way brings nothing back of a group that was deleted meanwhile", async ({
  ann,
  bob,
}) => {
  const group = await ann.createsGroup("Ghost", bob)
  await ann.sends(group, "Hello")
  const chat = await bob.opens()
  const box = await chat.opens("Ghost")
  await box.hears("Hello")
  let release: () => void = () => undefined
  const deleted = new Promise<void>((resolve) => (release = resolve))
  await chat.page.route("**/graphql", async (route) => {
    if (!route.request().postData()?.includes('"operationName":"SendMessage"')) return route.continue()
    const response = await route.fetch()
    await deleted
    await route.fulfill({ response })
  })
  await box.sends("sent just before")
  await chat.openDropdown()
  await ann.deletes(group)
  await becomes("the row is gone", () => chat.recentNames(), [])

  const answered = chat.page.waitForResponse(
    (response) => response.request().postData()?.includes("SendMessage") ?? false,
  )
  release()
  await (await answered).finished()

  await chat.page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))))
  assert.deepEqual(await chat.recentNames(), [])
})

test("S38 E9 an answer from before somebody was removed does not let them write again", async ({ ann, bob, cai }) => {
  const group = await ann.createsGroup("Night shift", bob, cai)
  await ann.sends(group, "Hello")
  const chat = await bob.opens()
  let release: () => void = () => undefined
  const removed = new Promise<void>((resolve) => (release = resolve))
  let held = 0
  await chat.page.route("**/graphql", async (route) => {
    if (held > 0 || !route.request().postData()?.includes('"operationName":"ReadPosition"')) return route.continue()
    held++
    const response = await route.fetch()
    await removed
    await route.fulfill({ response })
  })
  await chat.openDropdown()
  await chat.recent("Night shift").click()
  const box = chat.box("Night shift")
  await eventually(
    "the answer is on its way",
    () => held,
    (count) => count === 1,
  )
  await ann.removes(group, bob)
  await box.composer().and(chat.page.locator(":disabled")).waitFor()

  release()

  await box.locator.getByText("You were removed from the group.", { exact: true }).last().waitFor()
  await eventually("nobody writes there", () => box.composer().isDisabled(), Boolean)
})

test("S9 S23 a part of the client that can't be loaded leaves the rest alone, and what was loaded needs no network", async ({
  ann,
  bob,
}) => {
  const id = await bob.startsChatWith(ann)
  await bob.sends(id, "Hello")
  const chat = await ann.opens()
  chat.expects(/Failed to load resource/)
  // By itself the rest is loaded when the chat has been live for a while.
  await chat.page.waitForResponse(/NewChat-.*\.js$/)
  await chat.page.route(/\/assets\/.*/, (route) => route.abort())
  const box = await chat.opens("Bob Okafor")
  await box.hears("Hello")
  await chat.page.close()

  const late = await ann.opens()
  late.expects(/Failed to load resource/)
  await late.page.reload()
  await late.page.route(/\/assets\/(ChatsDropdown|ConversationPanel)-.*/, (route) => route.abort())
  await late.isLive()
  await late.bubble().click()
  await late.sees("This part of the chat can’t be loaded.")
  await late.page.getByRole("button", { name: "Reload the page", exact: true }).waitFor()
  await bob.sends(id, "Are you there?")
  await eventually(
    "the bubble goes on counting",
    () => late.unread(),
    (count) => count === 1,
  )
})

test("E11 E44 what Ann takes back is gone for everybody at once, in the open box, in the list and from what is unread", async ({
  ann,
  bob,
}) => {
  const id = await ann.startsChatWith(bob)
  const mine = await ann.opens()
  const box = await mine.opensChatWith("Bob Okafor")
  const his = await bob.opens()
  await box.sends("for somebody else")
  await his.box("Ann Lee").hears("for somebody else")
  await his.openDropdown()
  await his.recent("Ann Lee").getByText("for somebody else").waitFor()

  await box.message("for somebody else").hover()
  await box.message("for somebody else").getByRole("button", { name: "Take back", exact: true }).click()
  const question = mine.dialog("Take back this message?")
  await question.getByRole("button", { name: "Cancel", exact: true }).click()
  await question.waitFor({ state: "hidden" })
  assert.deepEqual((await bob.transcript(id)).at(-1), "for somebody else", "nothing happens before it is confirmed")
  await box.message("for somebody else").getByRole("button", { name: "Take back", exact: true }).click()
  await question.getByRole("button", { name: "Take back", exact: true }).click()

  await his.box("Ann Lee").locator.getByText("Message recalled", { exact: true }).waitFor()
  await his.recent("Ann Lee").getByText("Message recalled", { exact: true }).waitFor()
  await box.locator.getByText("Message recalled", { exact: true }).waitFor()
  assert.equal(await his.page.getByRole("article").getByText("for somebody else").count(), 0)
  await becomes("nothing is unread", () => bob.unreadIn(id), 0)
})

test("what a program says is marked as such", async ({ ann, bob }) => {
  await ann.administers()
  const chat = await bob.opens()
  const group = await ann.createsGroup("Flu clinic", bob)
  const { box, said } = { box: await chat.opens("Flu clinic"), said: "The scan is in." }

  await ann.letsAProgramSay(group, "Lab results", said)

  await box.message(said).waitFor()
  const message = box.log().getByRole("article", { name: /^Lab results, service account,/ })
  await message.getByText("Service account", { exact: true }).waitFor()
})
