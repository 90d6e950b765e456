// Deleting a group (S56-S63): who may, what asks before, and that it is gone for everybody, wherever they are.

import assert from "node:assert/strict"
import { Chat } from "./chat"
import { becomes, eventually, type Person, startWorld } from "./world"

// The demo clinic has the page with the help in it.
const world = await startWorld({ CORRIDOR_DEMO: "true" })
const { test } = world

/** What the API says no with: its codes. */
async function refusal(
  person: Person,
  mutation: "deleteGroup" | "leaveGroup",
  conversationId: string,
): Promise<string[]> {
  const type = mutation === "deleteGroup" ? "DeleteGroupInput" : "LeaveGroupInput"
  const { did } = await person.asks<{ did: { userErrors: { code: string }[] } }>(
    `mutation ($input: ${type}!) { did: ${mutation}(input: $input) { userErrors { code } } }`,
    { input: { clientKey: crypto.randomUUID(), conversationId } },
  )
  return did.userErrors.map(({ code }) => code)
}

/** Counts the mutations of a name that a page sends. */
function counts(chat: Chat, operation: string): () => number {
  let count = 0
  chat.page.on("request", (request) => {
    if (request.postData()?.includes(`"operationName":"${operation}"`)) count++
  })
  return () => count
}

/** Another tab of the same person in the same browser. */
async function secondTab(of: Chat): Promise<Chat> {
  const tab = new Chat(await of.page.context().newPage(), of.name, of.url)
  await tab.page.goto(`${of.url}/host`)
  await tab.isLive()
  return tab
}

const deleteDialog = "Delete group?"

test("S56 S57 only the owner has Delete group, and only of the owner the API takes it", async ({
  ann,
  bob,
  cai,
  dee,
  eve,
}) => {
  const group = await ann.createsGroup("Night shift", bob, cai)
  await ann.sends(group, "Hello")
  await cai.leaves(group)
  const [annChat, bobChat, caiChat] = [await ann.opens(), await bob.opens(), await cai.opens()]

  assert.equal((await (await annChat.opens("Night shift")).options()).includes("Delete group"), true)

  const box = await bobChat.opens("Night shift")
  await box.openOptions()
  await box.option("Leave group").waitFor()
  assert.equal(await bobChat.page.getByText("Delete group").count(), 0, "not in the DOM of a participant")
  await bobChat.page.keyboard.press("Escape")
  const left = await caiChat.opens("Night shift")
  assert.equal(!(await left.options()).includes("Delete group"), true)

  assert.deepEqual(await refusal(bob, "deleteGroup", group), ["NOT_GROUP_OWNER"])
  assert.deepEqual(await refusal(cai, "deleteGroup", group), ["NOT_GROUP_OWNER"])
  for (const stranger of [dee, eve]) assert.deepEqual(await refusal(stranger, "deleteGroup", group), ["NOT_FOUND"])
  assert.deepEqual(await ann.listed(), ["Night shift"])

  // Whoever owns it from now on has the item, without opening anything anew.
  await ann.does("transferOwnership", { conversationId: group, userId: await bob.id() }, "group { id }")
  await eventually(
    "Bob may delete it now",
    () => box.options(),
    (options) => options.includes("Delete group"),
  )
  await eventually(
    "Ann may not any more",
    () => annChat.box("Night shift").options(),
    (options) => !options.includes("Delete group"),
  )
})

test("S58 a dialog that names the group asks first: Delete and Cancel, the focus stays in it, Esc cancels, nothing is sent before", async ({
  ann,
  bob,
}) => {
  await ann.createsGroup("Night shift", bob)
  const chat = await ann.opens()
  const box = await chat.opens("Night shift")
  const sent = counts(chat, "DeleteGroup")
  const dialog = chat.dialog(deleteDialog)

  await box.chooses("Delete group")
  await dialog.waitFor()
  await dialog.getByText("Night shift").waitFor()
  const remove = dialog.getByRole("button", { name: "Delete", exact: true })
  await remove.waitFor()
  await dialog.getByRole("button", { name: "Cancel", exact: true }).waitFor()
  await eventually(
    "the focus is in the dialog",
    () => chat.hasFocusIn(dialog),
    (isIn) => isIn,
  )
  assert.notEqual(await chat.focus(), "Delete", "Enter alone deletes nothing")
  for (const key of ["Tab", "Tab", "Tab", "Tab", "Shift+Tab", "Shift+Tab", "Shift+Tab"]) {
    await chat.page.keyboard.press(key)
    assert.ok(await chat.hasFocusIn(dialog), `the focus is in the dialog after ${key}`)
  }
  assert.deepEqual(await chat.barriers(), [])
  const red = await remove.evaluate((element) => getComputedStyle(element).backgroundColor)
  const [r = 0, g = 0, b = 0] = (red.match(/[\d.]+/g) ?? []).map(Number)
  assert.ok(r > 2 * g && r > 2 * b, `the button is red: ${red}`)

  await chat.page.keyboard.press("Escape")
  await dialog.waitFor({ state: "detached" })
  assert.ok(await box.locator.isVisible(), "Esc closes the dialog alone")
  await becomes("the focus is back", () => chat.focus(), "Chat options")

  await box.chooses("Delete group")
  await dialog.getByRole("button", { name: "Cancel", exact: true }).click()
  await dialog.waitFor({ state: "detached" })
  await becomes("the focus is back", () => chat.focus(), "Chat options")
  assert.equal(sent(), 0, "nothing is sent before the confirmation")
  assert.deepEqual(await bob.listed(), ["Night shift"])

  await box.chooses("Delete group")
  await remove.click()
  await dialog.waitFor({ state: "detached" })
  await eventually(
    "it is gone for Bob",
    () => bob.listed(),
    (names) => names.length === 0,
  )
  assert.equal(sent(), 1)
})

test("S58 two clicks on Delete delete once", async ({ ann, bob }) => {
  await ann.createsGroup("Night shift", bob)
  const chat = await ann.opens()
  const box = await chat.opens("Night shift")
  const sent = counts(chat, "DeleteGroup")

  await box.chooses("Delete group")
  await chat.dialog(deleteDialog).getByRole("button", { name: "Delete", exact: true }).dblclick()
  await chat.dialog(deleteDialog).waitFor({ state: "detached" })

  await chat.sees("This group was deleted.")
  assert.equal(sent(), 1)
})

test("S59 E33 whoever deletes it loses the row and the box, in a second tab too", async ({ ann, bob, chats }) => {
  await ann.createsGroup("Night shift", bob)
  await ann.sends(await ann.startsChatWith(bob), "Hello Bob")
  const first = await ann.opens()
  const second = await secondTab(first)
  chats.push(second)
  const box = await first.opens("Night shift")
  await second.openDropdown()
  await becomes("both are listed", async () => (await second.recentNames()).sort(), ["Bob Okafor", "Night shift"])

  await box.chooses("Delete group")
  await first.dialog(deleteDialog).getByRole("button", { name: "Delete", exact: true }).click()

  await becomes("the row is gone in the second tab", () => second.recentNames(), ["Bob Okafor"])
  await first.dialog(deleteDialog).waitFor({ state: "detached" })
  await box.locator.getByText("This group was deleted.", { exact: true }).waitFor()
  assert.equal(await box.composer().count(), 0, "nothing can be written any more")
  assert.equal(await box.button("Chat options").count(), 0)
  await box.close()
  await first.openDropdown()
  await becomes("the row is gone", () => first.recentNames(), ["Bob Okafor"])
})

test("S59 the row vanishes for a member who looks at the lists, and New Chat does not find it", async ({
  ann,
  bob,
}) => {
  const group = await ann.createsGroup("Night shift", bob)
  await ann.sends(group, "Hello")
  const other = await ann.createsGroup("Day shift", bob)
  await ann.sends(other, "Good morning")
  const chat = await bob.opens()
  await chat.openDropdown()
  await becomes("both are listed", () => chat.recentNames(), ["Day shift", "Night shift"])
  await eventually(
    "both are unread",
    () => chat.unread(),
    (count) => count === 2,
  )

  await ann.deletes(group)
  await becomes("the row vanishes while one looks", () => chat.recentNames(), ["Day shift"])
  await eventually(
    "it counts no more",
    () => chat.unread(),
    (count) => count === 1,
  )
  assert.deepEqual(await chat.barriers(), [])

  await chat.page.keyboard.press("Escape")
  await chat.seesAllChats()
  await becomes("it is not in All chats", () => chat.listedNames(), ["Day shift"])
  await chat.shows("Archived")
  await chat.sees("Nothing is archived.")
  await chat.closesAllChats()
  await chat.openNewChat()
  await chat.searches("shift")
  await chat.found("Day shift").waitFor()
  assert.equal(await chat.found("Night shift").count(), 0)
})

test("S59 while All chats shows the group, row and thread go", async ({ ann, bob }) => {
  const group = await ann.createsGroup("Night shift", bob)
  await ann.sends(group, "Hello")
  const chat = await bob.opens()
  await chat.seesAllChats()
  await chat.listed("Night shift").click()
  await chat.box("Night shift").hears("Hello")

  await ann.deletes(group)

  await chat.allChats().getByText("This group was deleted.", { exact: true }).waitFor()
  await chat.allChats().getByText("No chats yet.", { exact: true }).waitFor()
  assert.equal(
    await chat.page.getByText("Hello", { exact: true }).count(),
    0,
    "what was said in it is gone from the page",
  )
})

test("S59 E21 an open box says so, what was said is gone, and the draft can be copied", async ({ ann, bob }) => {
  const group = await ann.createsGroup("Night shift", bob)
  await ann.sends(group, "Who is in room 4?")
  const chat = await bob.opens({ permissions: ["clipboard-read", "clipboard-write"] })
  const box = await chat.opens("Night shift")
  await box.hears("Who is in room 4?")
  await box.composer().fill("Mr. Grey, since\nhalf past two")

  await ann.deletes(group)

  await box.locator.getByText("This group was deleted.", { exact: true }).waitFor()
  const draft = box.locator.getByRole("textbox", { name: "Your draft", exact: true })
  assert.equal(await draft.inputValue(), "Mr. Grey, since\nhalf past two")
  assert.notEqual(await draft.getAttribute("readonly"), null)
  assert.equal(await box.composer().count(), 0)
  assert.equal(await chat.page.getByText("Who is in room 4?").count(), 0)
  await eventually(
    "the focus is not lost",
    () => chat.hasFocusIn(box.locator),
    (isIn) => isIn,
  )
  assert.deepEqual(await chat.barriers(), [])

  await box.button("Copy draft").click()
  await becomes(
    "the draft is copied",
    () => chat.page.evaluate(() => navigator.clipboard.readText()),
    "Mr. Grey, since\nhalf past two",
  )
  await box.close()
  await becomes("the focus goes back to the bubble", () => chat.focus(), "Chats")
  await chat.openDropdown()
  await chat.dropdown().getByText("No chats yet.", { exact: true }).waitFor()
})

test("S59 E21 what is sent to a group that was deleted in that moment is not lost: the box says what happened", async ({
  ann,
  bob,
}) => {
  const group = await ann.createsGroup("Night shift", bob)
  await ann.sends(group, "Hello")
  const chat = await bob.opens()
  const box = await chat.opens("Night shift")
  await box.hears("Hello")

  // The message waits on its way until the group is gone.
  let release: () => void = () => undefined
  const deleted = new Promise<void>((resolve) => (release = resolve))
  await chat.page.route("**/graphql", async (route) => {
    if (route.request().postData()?.includes('"operationName":"SendMessage"')) await deleted
    await route.continue()
  })
  await box.sends("Mr. Grey waits")
  await box.message("Mr. Grey waits").getByText("Sending…").waitFor()
  await ann.deletes(group)
  await box.locator.getByText("This group was deleted.", { exact: true }).waitFor()
  release()

  await eventually(
    "the text can still be read",
    () =>
      box.locator.evaluate((element) =>
        [element.textContent, ...[...element.querySelectorAll("textarea")].map((field) => field.value)].join(" "),
      ),
    (text) => text.includes("Mr. Grey waits"),
  )
})

test("S59 E24 who was offline finds neither row nor box when they are back", async ({ ann, bob }) => {
  const group = await ann.createsGroup("Night shift", bob)
  await ann.sends(group, "Hello")
  const other = await ann.createsGroup("Day shift", bob)
  await ann.sends(other, "Good morning")
  const proxy = await world.proxy()
  const chat = await bob.opens({ at: proxy.url })
  chat.expectsToLoseTheServer()
  const box = await chat.opens("Night shift")
  await box.hears("Hello")
  await box.composer().fill("Not yet sent")

  proxy.cut()
  await chat.isInterrupted()
  await ann.deletes(group)
  assert.ok(await box.message("Hello").isVisible(), "offline it still shows what it knew")
  proxy.mend()
  await chat.isLive()

  await box.locator.getByText("This group was deleted.", { exact: true }).waitFor()
  assert.equal(await box.locator.getByRole("textbox", { name: "Your draft", exact: true }).inputValue(), "Not yet sent")
  await box.close()
  await chat.openDropdown()
  await becomes("the row is gone", () => chat.recentNames(), ["Day shift"])
})

test("S59 E24 who opens the page again after it was deleted never sees it", async ({ ann, bob }) => {
  const group = await ann.createsGroup("Night shift", bob)
  await ann.sends(group, "Hello")
  const chat = await bob.opens()
  await chat.openDropdown()
  await chat.recent("Night shift").waitFor()
  await chat.page.goto("about:blank")

  await ann.deletes(group)

  await chat.page.goto(`${chat.url}/host`)
  await chat.isLive()
  await chat.openDropdown()
  await chat.dropdown().getByText("No chats yet.", { exact: true }).waitFor()
  assert.equal(await chat.unread(), 0)
})

test("S59 E23 who had left loses it too, and who had been removed", async ({ ann, bob, cai }) => {
  const group = await ann.createsGroup("Night shift", bob, cai)
  await ann.sends(group, "Hello")
  await bob.leaves(group)
  await ann.removes(group, cai)
  const left = await bob.opens()
  const removed = await cai.opens()
  const box = await left.opens("Night shift")
  await box.line("You left the group.").waitFor()
  await removed.openDropdown()
  await removed.recent("Night shift").waitFor()

  await ann.deletes(group)

  await box.locator.getByText("This group was deleted.", { exact: true }).waitFor()
  assert.equal(await left.page.getByText("Hello", { exact: true }).count(), 0)
  await becomes("the row of who was removed is gone", () => removed.recentNames(), [])
  await box.close()
  await left.openDropdown()
  await left.dropdown().getByText("No chats yet.", { exact: true }).waitFor()
  assert.deepEqual([await bob.listed(), await cai.listed()], [[], []])
})

test("S59 a question that is open when the group goes goes with it", async ({ ann, bob }) => {
  const group = await ann.createsGroup("Night shift", bob)
  await ann.sends(group, "Hello")
  const chat = await ann.opens()
  const box = await chat.opens("Night shift")
  await box.chooses("Delete group")
  await chat.dialog(deleteDialog).waitFor()

  await ann.deletes(group)

  await box.locator.getByText("This group was deleted.", { exact: true }).waitFor()
  await chat.dialog(deleteDialog).waitFor({ state: "detached" })
  await eventually(
    "the focus is in the box",
    () => chat.hasFocusIn(box.locator),
    (isIn) => isIn,
  )
})

test("S60 S63 the help page says what deleting is, and whom to ask", async ({ chats }) => {
  await world.runs("clinic", "set", "Lakeside Clinic", "--support-contact", "help@lakeside.example")
  const context = await (await world.browser()).newContext({ locale: "en-US" })
  const chat = new Chat(await context.newPage(), "Ann Lee", world.url)
  chats.push(chat)
  await chat.page.goto(world.url)
  await chat.page.getByRole("button", { name: /^Ann Lee/ }).click()
  await chat.isLive()

  for (const heading of ["Delete Group", "Leave Group Chat", "Scope and Limitations"])
    await chat.page.getByRole("heading", { name: heading, exact: true }).waitFor()
  await chat.sees("Only the group owner can delete a group chat.")
  await chat.sees("Once the group chat has been deleted, the chat will disappear from all members of the chat list.")
  const contact = chat.page.getByRole("main").getByRole("link", { name: "help@lakeside.example", exact: true })
  assert.equal(await contact.getAttribute("href"), "mailto:help@lakeside.example")
  assert.deepEqual(await chat.barriers(), [])
})

test("S63 where there are no chats it says whom to ask, and nothing if the clinic names nobody", async (clinic) => {
  const { ann, name } = clinic
  const without = await ann.opens()
  await without.openDropdown()
  await without.dropdown().getByText("No chats yet.", { exact: true }).waitFor()
  assert.equal(await without.page.getByText("Contact").count(), 0)

  await clinic.decides("--support-contact", "the desk, phone 4711")
  const chat = await ann.opens()
  await chat.openDropdown()
  await chat.dropdown().getByText("the desk, phone 4711").waitFor()
  assert.equal(await chat.dropdown().getByRole("link").count(), 0, `a phone number is no address to write to (${name})`)
  await chat.page.keyboard.press("Escape")
  await chat.seesAllChats()
  await chat.allChats().getByText("the desk, phone 4711").waitFor()
})

test("S61 a group has its owner from the first moment, marked for everybody", async ({ ann, bob }) => {
  const annChat = await ann.opens()
  const bobChat = await bob.opens()
  const box = await annChat.createsGroup("Night shift", "Bob", "Cai")
  await box.sends("Hello")
  await box.openParticipants()

  await box.participant("Ann Lee").getByRole("img", { name: "Group owner", exact: true }).waitFor()
  assert.equal(await box.participants().getByRole("img", { name: "Group owner", exact: true }).count(), 1)

  const other = await bobChat.opens("Night shift")
  await other.openParticipants()
  await other.participant("Ann Lee").getByRole("img", { name: "Group owner", exact: true }).waitFor()
  assert.equal(await other.participants().getByRole("img", { name: "Group owner", exact: true }).count(), 1)
})

test("S61 E2 an owner who leaves names the next one, who then may delete it", async ({ ann, bob, cai }) => {
  const group = await ann.createsGroup("Night shift", bob, cai)
  await ann.sends(group, "Hello")
  const annChat = await ann.opens()
  const caiChat = await cai.opens()
  const box = await annChat.opens("Night shift")
  const caiBox = await caiChat.opens("Night shift")
  assert.equal(!(await caiBox.options()).includes("Delete group"), true)

  await box.chooses("Leave group")
  const dialog = annChat.dialog("Leave group?")
  const next = dialog.getByLabel("Next owner")
  await eventually(
    "the two others can be chosen",
    () => next.locator("option").allTextContents(),
    (options) =>
      options.some((option) => option.startsWith("Bob Okafor")) &&
      options.some((option) => option.startsWith("Cai Wu")),
  )
  await next.selectOption({
    label: (await next.locator("option").allTextContents()).find((option) => option.startsWith("Cai Wu")) ?? "",
  })
  await dialog.getByRole("button", { name: "Leave", exact: true }).click()

  await box.line("You left the group.").waitFor()
  assert.equal(!(await box.options()).includes("Delete group"), true)
  await eventually(
    "Cai may delete it now",
    () => caiBox.options(),
    (options) => options.includes("Delete group"),
  )
  await caiBox.openParticipants()
  await caiBox.participant("Cai Wu").getByRole("img", { name: "Group owner", exact: true }).waitFor()

  await caiBox.chooses("Delete group")
  await caiChat.dialog(deleteDialog).getByRole("button", { name: "Delete", exact: true }).click()
  await box.locator.getByText("This group was deleted.", { exact: true }).waitFor()
})

test("S61 E2 an owner who names nobody is followed by who has been in it longest", async ({ ann, bob, cai, dee }) => {
  const group = await ann.createsGroup("Night shift", cai)
  await ann.adds(group, dee)
  await ann.adds(group, bob)
  await ann.sends(group, "Hello")
  const chat = await ann.opens()
  const box = await chat.opens("Night shift")

  await box.chooses("Leave group")
  await chat.dialog("Leave group?").getByText("Longest in the group: Cai Wu").waitFor({ state: "attached" })
  await chat.dialog("Leave group?").getByRole("button", { name: "Leave", exact: true }).click()

  await box.line("You left the group.").waitFor()
  const { node } = await bob.asks<{ node: { owner: { name: string } } }>(
    "query ($id: ID!) { node(id: $id) { ... on GroupConversation { owner { name } } } }",
    { id: group },
  )
  assert.equal(node.owner.name, "Cai Wu")
})

test("S62 a direct chat can only be muted and archived, and the API says no to more", async ({ ann, bob }) => {
  const direct = await ann.startsChatWith(bob)
  await ann.sends(direct, "Hello")
  const chat = await ann.opens()
  const box = await chat.opens("Bob Okafor")

  assert.deepEqual(await box.options(), [
    "Mute Notifications",
    "Mute for 1 hour",
    "Mute until tomorrow",
    "Archive chat",
  ])

  assert.deepEqual(await refusal(ann, "deleteGroup", direct), ["GROUP_ONLY"])
  assert.deepEqual(await refusal(ann, "leaveGroup", direct), ["GROUP_ONLY"])
})
