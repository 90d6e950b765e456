import assert from "node:assert/strict"
import { becomes, eventually, people, startWorld } from "./world"

const { test } = await startWorld()

test("S8 S9 S10 the bubble beside Ann's name opens the dropdown; Esc and a click outside close it and the focus returns", async ({
  ann,
}) => {
  const chat = await ann.opens()
  const text = (await chat.root().textContent()) ?? ""
  assert.ok(text.startsWith("Ann Lee"), `the bubble stands beside her name, not in ${text}`)
  assert.equal(await chat.bubble().getAttribute("aria-expanded"), "false")

  await chat.openDropdown()
  assert.equal(await chat.bubble().getAttribute("aria-expanded"), "true")
  await eventually("the focus is in it", () => chat.hasFocusIn(chat.dropdown()), Boolean)
  await chat.sees("No chats yet.")
  await chat.page.keyboard.press("Escape")

  await chat.dropdown().waitFor({ state: "detached" })
  await becomes("the focus is at the bubble", () => chat.focus(), "Chats")
  await chat.openDropdown()
  await chat.page.getByRole("heading", { name: "Waiting room" }).click()
  await chat.dropdown().waitFor({ state: "detached" })
})

test("S11 S12 S13 the dropdown has the recent chats, the newest first, live; choosing one opens it at the first unread message", async ({
  ann,
  bob,
  cai,
}) => {
  const withBob = await bob.startsChatWith(ann)
  await bob.sends(withBob, "Room 1 is ready")
  const huddle = await cai.createsGroup("Morning huddle", ann)
  await cai.sends(huddle, "We start at eight")
  const chat = await ann.opens()
  await becomes("two chats are unread", () => chat.unread(), 2)

  await chat.openDropdown()
  await becomes("the newest is first", () => chat.recentNames(), ["Morning huddle", "Bob Okafor"])
  await chat.recent("Morning huddle").getByText("Cai Wu: We start at eight").waitFor()
  await chat.recent("Bob Okafor").getByRole("img", { name: "1 unread", exact: true }).waitFor()
  await bob.sends(withBob, "Room 2 too")

  await becomes("a message brings Bob up", () => chat.recentNames(), ["Bob Okafor", "Morning huddle"])
  await chat.recent("Bob Okafor").click()
  const box = await chat.box("Bob Okafor").isOpen()
  await box.hears("Room 1 is ready")
  await box.hears("Room 2 too")
  await becomes("reading it counts", () => chat.unread(), 1)

  await chat.seesAllChats()
  await becomes("all of them are there", () => chat.listedNames(), ["Bob Okafor", "Morning huddle"])
  await chat.listed("Morning huddle").click()
  await chat.allChats().getByText("We start at eight", { exact: true }).waitFor()
  await chat.closesAllChats()
})

test("S13 paging through many chats and a long transcript misses nothing while messages arrive", async ({
  ann,
  bob,
}) => {
  const groups: string[] = []
  for (let i = 0; i < 24; i++) groups.push(await ann.createsGroup(`Case ${String(i).padStart(2, "0")}`, bob))
  const last = groups.at(-1) ?? ""
  for (let i = 1; i <= 60; i++) await bob.sends(last, `line ${String(i)}`)
  await ann.reads(last)
  const chat = await ann.opens()

  await chat.seesAllChats()
  await bob.sends(groups[3] ?? "", "meanwhile")
  const more = chat.allChats().getByRole("button", { name: "Show more chats", exact: true })
  await more.click()

  const wanted = Array.from({ length: 24 }, (_, i) => `Case ${String(i).padStart(2, "0")}`)
  await becomes("each is there once", async () => (await chat.listedNames()).sort(), wanted)
  await chat.listed("Case 23").click()
  const box = chat.box("Case 23")
  await box.hears("line 60")
  await box.log().hover()
  await eventually(
    "scrolling back comes to the first line",
    async () => {
      await chat.page.mouse.wheel(0, -4_000)
      return box.message("line 1").count()
    },
    (count) => count === 1,
  )
  await box.button("Newest messages").click()
  await box.hears("line 60")
})

test("S2 S3 S5 S14 S15 S16 New Chat finds people by any piece of name or address, by keys too", async ({ ann }) => {
  const chat = await ann.opens()
  await chat.openNewChat()
  assert.equal(await chat.focus(), "Name or email address")

  for (const [typed, name] of [
    ["okaf", "Bob Okafor"],
    ["CAI", "Cai Wu"],
    ["muller zoe", "Zoë Müller"],
    ["dee@clinic", "Dee Novak"],
  ] as const) {
    await chat.searches(typed)
    await becomes(
      `${typed} finds ${name} only`,
      () => chat.newChat().getByRole("option").locator(".name").allTextContents(),
      [name],
    )
  }
  await chat.searches("Cai")
  await chat.found("Cai Wu").getByText("CSR", { exact: true }).waitFor()
  await chat.found("Cai Wu").getByText("Front desk, Lab", { exact: true }).waitFor()
  await becomes("she is listed once", () => chat.newChat().getByRole("option").count(), 1)

  const input = chat.newChat().getByRole("combobox")
  await input.fill("")
  await becomes("all contacts are offered", () => chat.newChat().getByRole("option").count(), 4)
  await input.press("ArrowDown")
  await input.press("ArrowDown")
  await becomes(
    "the second is pointed at",
    () => chat.newChat().locator('[role="option"][aria-selected="true"] .name').allTextContents(),
    ["Cai Wu"],
  )
  await input.press("Enter")
  await chat.box("Cai Wu").isOpen()
})

test("S6 S7 somebody who comes to the front desk appears in an open search, and goes from it", async (clinic) => {
  const chat = await clinic.ann.opens()
  await chat.openNewChat()
  await chat.searches("eve")
  await chat.sees("no result")

  await clinic.imports({ ...people, eve: ["Eve Stone", "CSR", "Front desk"] })
  await chat.found("Eve Stone").waitFor()

  await clinic.imports(people)
  await chat.sees("no result")
})

test("S4 S17 S18 S19 S63 who is not in Ann's contact list is no result, whether they exist or not, nor is she herself or a patient", async (clinic) => {
  await clinic.decides("--support-contact", "help@clinic.example")
  const chat = await clinic.ann.opens()
  await chat.openDropdown()
  await chat.page.getByText("help@clinic.example").waitFor()
  await chat.dropdown().getByRole("button", { name: "New Chat", exact: true }).click()

  for (const typed of ["Eve Stone", clinic.email("eve"), "Nobody Atall", "Ann Lee", "Pia"]) {
    await chat.searches("Bob")
    await chat.found("Bob Okafor").waitFor()
    await chat.searches(typed)
    await chat.newChat().getByText("no result", { exact: true }).waitFor()
    await chat.newChat().getByText("The name or email address is not in your contact list.", { exact: true }).waitFor()
    assert.equal(await chat.newChat().getByRole("option").count(), 0)
  }
})

test("S20 S21 S22 S23 Ann starts a chat with Bob, he continues it, and it stays one", async ({ ann, bob }) => {
  const [anns, bobs] = await Promise.all([ann.opens(), bob.opens()])
  await ann.createsGroup("Bob's birthday", bob)

  const box = await anns.opensChatWith("Bob Okafor")
  await becomes("she can write at once", () => anns.focus(), "Message")
  await box.composer().fill("Are you there?")
  await box.composer().press("Shift+Enter")
  await box.composer().pressSequentially("It is urgent.")
  await box.composer().press("Enter")

  const his = await bobs.box("Ann Lee").isOpen()
  await his.log().getByText("Are you there?").waitFor()
  await his.composer().fill("Yes")
  await his.button("Send").click()
  await box.hears("Yes")
  await box.close()
  await anns.openNewChat()
  await anns.searches("bob")
  await anns.newChat().getByRole("group", { name: "People", exact: true }).waitFor()
  await anns.newChat().getByRole("group", { name: "Groups", exact: true }).getByRole("option").waitFor()
  await anns.found("Bob Okafor").click()
  await box.hears("Yes")
  assert.deepEqual((await ann.listed()).sort(), ["Bob Okafor", "Bob's birthday"])
})

test("S25 S26 a message opens the box with one sound, a burst makes one sound, and an open box is silent", async ({
  ann,
  bob,
}) => {
  const chat = await ann.opens()
  const withAnn = await bob.startsChatWith(ann)
  await chat.page.getByRole("heading", { name: "Waiting room" }).click()

  for (const text of ["one", "two", "three"]) await bob.sends(withAnn, text)

  const box = await chat.box("Bob Okafor").isOpen()
  await box.hears("three")
  assert.equal(await chat.sounds(), 1)
  assert.equal(await chat.focus(), "", "a box that pops up takes no focus away")
  await becomes("it is unread until she turns to it", () => chat.unread(), 1)
  await box.composer().click()
  await becomes("it is read now", () => chat.unread(), 0)
})

test("S25 E45 the box says before one writes whether somebody is available, and never keeps a message back", async ({
  ann,
  bob,
}) => {
  const chat = await ann.opens()
  const box = await chat.opensChatWith("Bob Okafor")
  await box.locator.getByText(/MA · Away/).waitFor()

  await box.sends("For when you are back")

  await box.message("For when you are back").getByText(/Sent/).waitFor()
  assert.deepEqual(await bob.transcript(await bob.startsChatWith(ann)), ["For when you are back"])
})

test("E1 Ann makes a group by New Chat with several people and a name, and owns it", async ({ ann, bob }) => {
  const [anns, bobs] = await Promise.all([ann.opens(), bob.opens()])

  const box = await anns.createsGroup("Flu clinic", "Bob Okafor", "Dee Novak")

  await box.locator.getByText("3 participants", { exact: true }).waitFor()
  await box.openParticipants()
  await box.participant("Ann Lee").getByRole("img", { name: "Group owner", exact: true }).waitFor()
  await bobs.openDropdown()
  await bobs.recent("Flu clinic").waitFor()
})

test("E33 what Ann reads, mutes and archives in one tab is so in the other", async ({ ann, bob }) => {
  const withAnn = await bob.startsChatWith(ann)
  await bob.sends(withAnn, "hello")
  const [one, other] = await Promise.all([ann.opens(), ann.opens()])
  await becomes("it is unread in both", () => other.unread(), 1)

  const box = await one.opens("Bob Okafor")
  await box.hears("hello")
  await becomes("it is read in the other", () => other.unread(), 0)
  await other.openDropdown()
  await box.chooses("Mute Notifications")
  await other.recent("Bob Okafor").getByRole("img", { name: "Muted", exact: true }).waitFor()
  await box.chooses("Archive chat")
  await other.recent("Bob Okafor").waitFor({ state: "detached" })
})
