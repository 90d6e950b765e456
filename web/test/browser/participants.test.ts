import assert from "node:assert/strict"
import { becomes, people, startWorld } from "./world"

const { test } = await startWorld()

test("S27 S28 a group shows who takes part in it; a direct chat has nothing of that", async ({ ann, bob }) => {
  await ann.createsGroup("Ward round", bob)
  const chat = await ann.opens()

  const direct = await chat.opensChatWith("Bob Okafor")
  assert.equal(await direct.button("Participants").count(), 0)
  assert.deepEqual(await direct.options(), [
    "Mute Notifications",
    "Mute for 1 hour",
    "Mute until tomorrow",
    "Archive chat",
  ])

  const group = await chat.opens("Ward round")
  assert.equal(await group.button("Participants").getAttribute("aria-expanded"), "false")
  await group.openParticipants()
  assert.equal(await group.button("Participants").getAttribute("aria-expanded"), "true")
  await group.participants().getByRole("heading", { name: "Participants", exact: true }).waitFor()
  await group.participant("Bob Okafor").getByText("MA", { exact: true }).waitFor()
  assert.equal(await group.participant("Ann Lee").getByRole("button").count(), 0, "no minus in her own row")
})

test("S29 S30 S31 S32 S33 S34 E10 Ann adds two people at once, one of whom Bob does not know, and they see the group", async ({
  ann,
  bob,
  cai,
  dee,
}) => {
  await ann.createsGroup("Flu clinic", bob)
  const [anns, bobs, dees] = await Promise.all([ann.opens(), bob.opens(), dee.opens()])
  const [box, his] = [await anns.opens("Flu clinic"), await bobs.opens("Flu clinic")]
  await box.openParticipants()
  const pen = box.participants().getByRole("button", { name: "Edit participants", exact: true })
  await pen.click()
  const add = box.participants().getByRole("button", { name: "Add", exact: true })
  assert.ok(await add.isDisabled(), "nobody is selected yet")

  await box.participants().getByRole("combobox", { name: "Name or email address", exact: true }).fill("Bob")
  await box.participants().getByText("no result", { exact: true }).waitFor()
  await box.picks("Cai")
  await box.picks("Dee")
  await box.participants().getByRole("button", { name: "Remove Cai Wu from selection", exact: true }).waitFor()
  await add.click()

  const said = box.participants().getByRole("status")
  await said.getByText("Cai Wu was added.", { exact: true }).waitFor()
  await said.getByText("Dee Novak was added.", { exact: true }).waitFor()
  await his.line("Ann Lee added Dee Novak.").waitFor()
  await dees.openDropdown()
  await dees.recent("Flu clinic").click()
  await dees.box("Flu clinic").line("Ann Lee added you.").waitFor()
  await his.openParticipants()
  await his.participants().getByRole("button", { name: "Edit participants", exact: true }).click()
  await his.participants().getByRole("combobox", { name: "Name or email address", exact: true }).fill("Eve")
  await his.participants().getByText("no result", { exact: true }).waitFor()
  await his
    .participants()
    .getByText("The name or email address is not in your contact list.", { exact: true })
    .waitFor()
  assert.deepEqual(await cai.listed(), ["Flu clinic"])
})

test("S33 somebody whom another added meanwhile has an outcome of their own", async ({ ann, bob, cai, zoe }) => {
  const group = await ann.createsGroup("Flu clinic", bob)
  const chat = await ann.opens()
  const box = await chat.opens("Flu clinic")
  await box.openParticipants()
  await box.participants().getByRole("button", { name: "Edit participants", exact: true }).click()
  await box.picks("Cai")
  await box.picks("Zoë")

  await bob.adds(group, cai)
  await box.line("Bob Okafor added Cai Wu.").waitFor()
  await box.participants().getByRole("button", { name: "Add", exact: true }).click()

  await box.participants().getByText("Cai Wu is already in the group.", { exact: true }).waitFor()
  await box.participants().getByText("Zoë Müller was added.", { exact: true }).waitFor()
  assert.deepEqual(await zoe.listed(), ["Flu clinic"])
})

test("S35 S36 S37 S38 E9 E10 Bob removes Cai in two steps; Esc undoes the first, and Cai hears no more", async ({
  ann,
  bob,
  cai,
}) => {
  const group = await ann.createsGroup("Flu clinic", bob, cai)
  await ann.sends(group, "before")
  const [bobs, cais] = await Promise.all([bob.opens(), cai.opens()])
  const [box, hers] = [await bobs.opens("Flu clinic"), await cais.opens("Flu clinic")]
  await hers.hears("before")
  await box.openParticipants()
  const row = box.participant("Cai Wu")
  const minus = row.getByRole("button", { name: "Remove Cai Wu", exact: true })
  assert.equal(await box.participant("Ann Lee").getByRole("button").count(), 0, "the owner stays")

  await minus.click()
  await becomes("the check is ready", () => bobs.focus(), "Confirm removing Cai Wu")
  await row.getByRole("button", { name: "Cancel removing Cai Wu", exact: true }).waitFor()
  await bobs.page.keyboard.press("Escape")
  await becomes("the focus is back", () => bobs.focus(), "Remove Cai Wu")
  assert.deepEqual(await cai.listed(), ["Flu clinic"])
  await hers.composer().fill("still here")
  await minus.click()
  await row.getByRole("button", { name: "Confirm removing Cai Wu", exact: true }).click()

  await hers.line("You were removed from the group.").waitFor()
  assert.equal(await hers.composer().isDisabled(), true)
  assert.equal(await hers.composer().getAttribute("placeholder"), "You cannot send chat to this group.")
  await box.line("You removed Cai Wu.").waitFor()
  await row.waitFor({ state: "detached" })
  await ann.sends(group, "after")
  await box.hears("after")
  await ann.sends(await ann.startsChatWith(cai), "Sorry")
  await cais.box("Ann Lee").isOpen()
  assert.equal(await hers.message("after").count(), 0)
})

test("S37 where the clinic lets owners only, the others have no pen and no minus", async (clinic) => {
  const { ann, bob, cai } = clinic
  await clinic.decides("--manage-participants", "OWNER_ONLY")
  await ann.createsGroup("Flu clinic", bob, cai)
  const chat = await bob.opens()

  const box = await chat.opens("Flu clinic")
  await box.openParticipants()

  await box.participant("Cai Wu").waitFor()
  assert.equal(await box.participants().getByRole("button").count(), 0)
})

test("S31 the clinic may let who adds somebody choose what they see of the history", async (clinic) => {
  const { ann, bob, cai } = clinic
  await clinic.decides("--history-choice")
  const group = await ann.createsGroup("Flu clinic", bob)
  await ann.sends(group, "said before")
  const [anns, cais] = await Promise.all([ann.opens(), cai.opens()])
  const box = await anns.opens("Flu clinic")
  await box.openParticipants()
  await box.participants().getByRole("button", { name: "Edit participants", exact: true }).click()
  await box.picks("Cai")

  await box.participants().getByRole("radio", { name: "All of it", exact: true }).check()
  await box.participants().getByRole("button", { name: "Add", exact: true }).click()

  const hers = await cais.opens("Flu clinic")
  await hers.hears("said before")
})

test("E13 the owner sees who shares no waiting room with the others any more", async (clinic) => {
  const { ann, bob, cai } = clinic
  await ann.createsGroup("Flu clinic", bob, cai)
  await clinic.imports({ ...people, bob: ["Bob Okafor", "MA", "Attic"] })
  const chat = await ann.opens()

  const box = await chat.opens("Flu clinic")
  await box.openParticipants()

  await box.participant("Bob Okafor").getByText("Shares no waiting room", { exact: true }).waitFor()
  assert.equal(await box.participant("Cai Wu").getByText("Shares no waiting room").count(), 0)
})
