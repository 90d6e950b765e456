import assert from "node:assert/strict"
import { becomes, eventually, startWorld } from "./world"

const { test } = await startWorld()

const mutes = ["Mute Notifications", "Mute for 1 hour", "Mute until tomorrow"]

test("S39 S40 S44 S45 E18 the three dots have what Ann may do; muting is immediate, for a while or for good", async ({
  ann,
  bob,
}) => {
  await ann.sends(await ann.startsChatWith(bob), "hello")
  await ann.createsGroup("Flu clinic", bob)
  const chat = await ann.opens()
  const group = await chat.opens("Flu clinic")
  assert.deepEqual(await group.options(), [
    ...mutes,
    "Archive chat",
    "Rename group",
    "Hand over group",
    "Leave group",
    "Delete group",
  ])
  await becomes("the focus is back", () => chat.focus(), "Chat options")

  for (const [item, name] of [
    ["Mute Notifications", "Flu clinic"],
    ["Mute for 1 hour", "Flu clinic"],
    ["Mute until tomorrow", "Bob Okafor"],
  ] as const) {
    const box = await chat.opens(name)
    await box.chooses(item)
    await box.mutedBell().waitFor()
    await chat.openDropdown()
    await chat.recent(name).getByRole("img", { name: "Muted", exact: true }).waitFor()
    await chat.page.keyboard.press("Escape")
    await box.chooses("Unmute Notifications")
    await box.mutedBell().waitFor({ state: "detached" })
  }
})

test("S41 S42 S43 E19 a muted chat stays closed and silent, an open one goes on, and only its row counts", async ({
  ann,
  bob,
}) => {
  const withBob = await bob.startsChatWith(ann)
  await bob.sends(withBob, "before")
  const chat = await ann.opens()
  const box = await chat.opens("Bob Okafor")
  await box.hears("before")
  await box.chooses("Mute Notifications")
  await box.mutedBell().waitFor()

  await bob.sends(withBob, "while it is open")
  await box.hears("while it is open")
  await becomes("she reads it", () => ann.unreadIn(withBob), 0)
  await box.close()
  await bob.sends(withBob, "while it is closed")

  await chat.openDropdown()
  await chat.recent("Bob Okafor").getByRole("img", { name: "1 unread", exact: true }).waitFor()
  await chat.recent("Bob Okafor").getByRole("img", { name: "Muted", exact: true }).waitFor()
  assert.equal(await box.locator.count(), 0)
  await becomes("the bubble does not count it", () => chat.unread(), 0)
  assert.equal(await chat.sounds(), 0)
})

test("S46 S47 S48 E15 Ann archives a person and a group, which nobody hears of, and gets them back by search, Undo and the filter", async ({
  ann,
  bob,
}) => {
  await bob.sends(await bob.startsChatWith(ann), "hello")
  await bob.createsGroup("Flu clinic", ann)
  const chat = await ann.opens()
  const toast = chat.toast("Chat archived.")

  const box = await chat.opens("Bob Okafor")
  await box.chooses("Archive chat")
  await toast.waitFor()
  await chat.page.getByRole("button", { name: "Undo", exact: true }).click()
  await becomes("Undo brings it back", () => ann.listed().then((names) => names.sort()), ["Bob Okafor", "Flu clinic"])

  for (const name of ["Bob Okafor", "Flu clinic"]) {
    await (await chat.opens(name)).chooses("Archive chat")
    await becomes(`${name} is not listed`, () => ann.listed().then((names) => names.includes(name)), false)
    assert.equal((await bob.listed()).includes(name === "Flu clinic" ? name : "Ann Lee"), true)
    await chat.openNewChat()
    await chat.searches(name)
    await chat.found(name).getByText("Archived", { exact: true }).waitFor()
    await chat.found(name).click()
    await chat.box(name).isOpen()
    await becomes(`${name} is listed again`, () => ann.listed().then((names) => names.includes(name)), true)
  }

  await (await chat.opens("Flu clinic")).chooses("Archive chat")
  await chat.seesAllChats()
  await chat.listed("Flu clinic").waitFor({ state: "detached" })
  await chat.shows("Archived")
  await becomes("it is among the archived", () => chat.listedNames(), ["Flu clinic"])
  await chat.listed("Flu clinic").click()
  await chat.box("Flu clinic").chooses("Unarchive chat")
  await chat.listed("Flu clinic").waitFor({ state: "detached" })
})

test("E14 E16 a message brings an archived chat back, but not one that is muted, and the badge leaves archived ones out", async ({
  ann,
  bob,
  cai,
}) => {
  const [withBob, withCai] = [await bob.startsChatWith(ann), await cai.startsChatWith(ann)]
  await bob.sends(withBob, "one")
  await cai.sends(withCai, "one")
  await ann.mutes(withCai)
  const chat = await ann.opens()
  await becomes("Bob's is unread", () => chat.unread(), 1)
  await ann.archives(withBob)
  await ann.archives(withCai)
  await becomes("an archived one is not counted", () => chat.unread(), 0)

  await cai.sends(withCai, "two")
  await bob.sends(withBob, "two")

  await chat.box("Bob Okafor").isOpen()
  await chat.openDropdown()
  await becomes("only Bob's is back", () => chat.recentNames(), ["Bob Okafor"])
  await chat.page.keyboard.press("Escape")
  await chat.seesAllChats()
  await chat.shows("Archived")
  await chat.listed("Cai Wu").getByRole("img", { name: "2 unread", exact: true }).waitFor()
})

test("S49 S50 S51 S52 S53 S54 S55 Ann leaves after she was asked, keeps what she knew, and is added back", async ({
  ann,
  bob,
  cai,
}) => {
  const group = await bob.createsGroup("Flu clinic", ann, cai)
  await bob.sends(group, "before")
  const [chat, other, bobs] = await Promise.all([ann.opens(), ann.opens(), bob.opens()])
  const [box, his] = [await chat.opens("Flu clinic"), await bobs.opens("Flu clinic")]
  await box.chooses("Leave group")
  const dialog = chat.dialog("Leave group?")
  await dialog.waitFor()
  await eventually("the focus is in the dialog", () => chat.hasFocusIn(dialog), Boolean)
  for (let i = 0; i < 4; i++) {
    await chat.page.keyboard.press("Tab")
    assert.ok(await chat.hasFocusIn(dialog), "the focus stays in the dialog")
  }
  await chat.page.keyboard.press("Escape")
  await dialog.waitFor({ state: "detached" })
  await becomes("the focus is back", () => chat.focus(), "Chat options")
  await box.chooses("Leave group")
  await dialog.getByRole("button", { name: "Cancel", exact: true }).click()
  await dialog.waitFor({ state: "detached" })
  assert.ok(await box.composer().isEnabled(), "nothing happened yet")

  await box.chooses("Leave group")
  await dialog.getByRole("button", { name: "Leave", exact: true }).click()

  await box.line("You left the group.").waitFor()
  assert.equal(await box.composer().isDisabled(), true)
  assert.equal(await box.composer().getAttribute("placeholder"), "You cannot send chat to this group.")
  await his.line("Ann Lee left the group.").waitFor()
  assert.equal(!(await box.options()).includes("Leave group"), true)

  await his.sends("while she is away")
  await bob.renames(group, "Flu clinic B")
  await his.chat.box("Flu clinic B").isOpen()
  await bob.sends(await bob.startsChatWith(ann), "a sign")
  await chat.box("Bob Okafor").isOpen()
  assert.equal(await box.message("while she is away").count(), 0)
  await chat.reloads()
  for (const tab of [chat, other]) {
    await tab.openDropdown()
    assert.match((await tab.recent("Flu clinic").getAttribute("class")) ?? "", /\bleft\b/)
    await tab.recent("Flu clinic").click()
    await tab.box("Flu clinic").hears("before")
    await tab.box("Flu clinic").line("You left the group.").waitFor()
    assert.equal(await tab.box("Flu clinic").message("while she is away").count(), 0)
  }

  await cai.adds(group, ann)

  const back = await chat.box("Flu clinic B").isOpen()
  await back.line("You left the group.").waitFor()
  await back.line("Cai Wu added you.").waitFor()
  await back.sends("I am back")
  await chat.box("Flu clinic B").hears("I am back")
  await his.chat.box("Flu clinic B").hears("I am back")
  assert.equal(await back.message("while she is away").count(), 0)
})

test("E2 an owner who leaves chooses who owns the group then", async ({ ann, bob, cai }) => {
  await ann.createsGroup("Flu clinic", bob, cai)
  const [anns, cais] = await Promise.all([ann.opens(), cai.opens()])
  const [box, hers] = [await anns.opens("Flu clinic"), await cais.opens("Flu clinic")]

  await box.chooses("Leave group")
  const dialog = anns.dialog("Leave group?")
  const next = dialog.getByLabel("Next owner", { exact: true })
  await dialog.getByText("Bob Okafor", { exact: false }).first().waitFor({ state: "attached" })
  await next.selectOption({ label: "Cai Wu (CSR)" })
  await dialog.getByRole("button", { name: "Leave", exact: true }).click()

  await box.line("You left the group.").waitFor()
  await hers.openParticipants()
  await hers.participant("Cai Wu").getByRole("img", { name: "Group owner", exact: true }).waitFor()
  assert.equal((await hers.options()).includes("Delete group"), true)
})
