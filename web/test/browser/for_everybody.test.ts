import assert from "node:assert/strict"
import type { Chat } from "./chat"
import { becomes, type Clinic, eventually, startWorld } from "./world"

const { test } = await startWorld()

/** Something of everything: people, groups, unread, muted, left. */
async function busyDay({ ann, bob, cai, dee }: Clinic) {
  const withBob = await bob.startsChatWith(ann)
  await bob.sends(withBob, "Room 1 is ready")
  const huddle = await cai.createsGroup("Morning huddle", ann, bob)
  await cai.sends(huddle, "We start at eight")
  const old = await dee.createsGroup("Old case", ann)
  await dee.sends(old, "Closed")
  await ann.leaves(old)
  await ann.mutes(huddle)
}

/** Goes through all views, and does something in each. */
async function eachView(chat: Chat, visit: (view: string) => Promise<void>) {
  await visit("the bubble")
  await chat.openDropdown()
  await chat.recent("Old case").waitFor()
  await visit("the dropdown")
  await chat.page.keyboard.press("Escape")
  const box = await chat.opens("Bob Okafor")
  await box.hears("Room 1 is ready")
  await visit("a chat")
  await box.openOptions()
  await visit("the options")
  await chat.page.keyboard.press("Escape")
  await box.close()
  const group = await chat.opens("Morning huddle")
  await group.openParticipants()
  await group.participants().getByRole("button", { name: "Edit participants", exact: true }).click()
  await group.locator.getByRole("option").first().waitFor()
  await visit("the participants")
  await group.chooses("Leave group")
  await chat.dialog("Leave group?").waitFor()
  await visit("the question")
  await chat.page.keyboard.press("Escape")
  await chat.dialog("Leave group?").waitFor({ state: "detached" })
  await group.close()
  const left = await chat.opens("Old case")
  await left.line("You left the group.").waitFor()
  await visit("a group that was left")
  await left.close()
  await chat.openNewChat()
  await chat.found("Bob Okafor").waitFor()
  await visit("New Chat")
  await chat.searches("Nobody Atall")
  await chat.sees("no result")
  await visit("no result")
  await chat.page.keyboard.press("Escape")
  await chat.page.keyboard.press("Escape")
  await chat.newChat().waitFor({ state: "detached" })
  await chat.seesAllChats()
  await chat.listed("Morning huddle").click()
  await chat.box("Morning huddle").hears("We start at eight")
  await visit("all chats")
}

for (const colorScheme of ["light", "dark"] as const)
  test(`S9 S10 S13 S16 S43 axe finds no serious barrier in any view, ${colorScheme}`, async (clinic) => {
    await busyDay(clinic)
    const chat = await clinic.ann.opens({ colorScheme, reducedMotion: "reduce" })

    const barriers: Record<string, string[]> = {}
    await eachView(chat, async (view) => {
      const found = await chat.barriers()
      if (found.length > 0) barriers[view] = found
    })
    assert.deepEqual(barriers, {})
  })

for (const [title, options] of [
  ["320 pixels wide", { viewport: { width: 320, height: 640 } }],
  ["at 200 %", { viewport: { width: 640, height: 400 }, deviceScaleFactor: 2 }],
] as const)
  test(`S10 S12 S13 everything works ${title}, and nothing has to be scrolled sideways`, async (clinic) => {
    await busyDay(clinic)
    const chat = await clinic.ann.opens(options)

    await eachView(chat, async (view) => {
      assert.equal(
        await chat.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
        0,
        view,
      )
      const { width } = options.viewport
      for (const button of await chat.page.locator("corridor-chat").getByRole("button").all()) {
        const at = (await button.isVisible()) ? await button.boundingBox() : null
        if (at)
          assert.ok(
            at.x >= -1 && at.x + at.width <= width + 1,
            `${view}: ${(await button.textContent()) ?? ""} is outside`,
          )
      }
    })
    await chat.box("Morning huddle").button("Back to all chats").click()
    await chat.listed("Morning huddle").waitFor()
    await chat.closesAllChats()
  })

test("S9 S10 S16 S20 S23 S35 S50 the whole story by keys alone", async ({ ann, bob }) => {
  const chat = await ann.opens()
  const keys = chat.page.keyboard
  const to = (name: string, key = "Tab") =>
    eventually(
      `the focus comes to ${name}`,
      async () => {
        const focus = await chat.focus()
        if (focus !== name) await keys.press(key)
        return focus
      },
      (focus) => focus === name,
    )

  await to("Chats")
  await keys.press("Enter")
  await to("New Chat")
  await keys.press("Enter")
  await to("Name or email address")
  await to("New group")
  await keys.press("Enter")
  await to("Name or email address")
  for (const name of ["bob", "cai"]) {
    await keys.type(name)
    await chat.newChat().locator('[role="option"][aria-selected="true"]').waitFor()
    await keys.press("Enter")
    await becomes("the box is empty for the next", () => chat.newChat().getByRole("combobox").inputValue(), "")
  }
  await to("Group name")
  await keys.type("Flu clinic")
  await to("Create group")
  await keys.press("Enter")
  const box = await chat.box("Flu clinic").isOpen()
  await to("Message")
  await keys.type("hello")
  await keys.press("Enter")
  await box.hears("hello")
  await to("Participants", "Shift+Tab")
  await keys.press("Enter")
  await box.participant("Cai Wu").waitFor()
  await to("Remove Cai Wu")
  await keys.press("Enter")
  await to("Confirm removing Cai Wu")
  await keys.press("Enter")
  await box.participant("Cai Wu").waitFor({ state: "detached" })
  await to("Chat options", "Shift+Tab")
  await keys.press("Enter")
  await box.menu().waitFor()
  await to("Leave group", "ArrowDown")
  await keys.press("Enter")
  await chat.dialog("Leave group?").waitFor()
  await to("Leave")
  await keys.press("Enter")

  await box.line("You left the group.").waitFor()
  assert.deepEqual(await bob.listed(), ["Flu clinic"])
})

test("S12 messages from right to left stand as they should, times are those of the person's zone, and nothing moves for who wants that", async ({
  ann,
  bob,
}) => {
  const withAnn = await bob.startsChatWith(ann)
  const id = await bob.sends(withAnn, "שלום, room 3")
  const { node } = await bob.asks<{ node: { sentAt: string } }>(
    "query ($id: ID!) { node(id: $id) { ... on Message { sentAt } } }",
    { id },
  )
  const chat = await ann.opens({ timezoneId: "Asia/Kathmandu", locale: "en-GB", reducedMotion: "reduce" })

  const box = await chat.opens("Bob Okafor")

  const there = new Intl.DateTimeFormat("en-GB", { timeZone: "Asia/Kathmandu", hour: "numeric", minute: "2-digit" })
  await box
    .message("שלום, room 3")
    .getByText(there.format(new Date(node.sentAt)))
    .waitFor()
  const direction = await box
    .message("שלום, room 3")
    .locator("p.text")
    .evaluate((text) => getComputedStyle(text).direction)
  assert.equal(direction, "rtl")
  await box.composer().fill("תודה")
  assert.equal(await box.composer().evaluate((text) => getComputedStyle(text).direction), "rtl")
  await box.openOptions()
  const moving = await chat.page.evaluate(
    () => document.getAnimations().filter(({ playState }) => playState === "running").length,
  )
  assert.equal(moving, 0)
})

test("S8 S63 what happens is told to who does not see it, politely and once", async ({ ann, bob }) => {
  const withAnn = await bob.startsChatWith(ann)
  const chat = await ann.opens()

  await bob.sends(withAnn, "hello")

  const announced = chat.page.getByRole("status", { name: "Announcements", exact: true })
  await announced.getByText("Bob Okafor: hello").waitFor({ state: "attached" })
  assert.equal(await chat.box("Bob Okafor").log().getAttribute("aria-live"), "off")
})
