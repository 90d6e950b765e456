import assert from "node:assert/strict"
import { readFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { test as plainTest } from "node:test"
import type { Locator, Page } from "playwright-core"
import type { Chat } from "./chat"
import { becomes, type Clinic, eventually, type OpensOptions, startWorld } from "./world"

const world = await startWorld({ CORRIDOR_DEMO: "true" })
const { test } = world

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
  await eventually("the focus is in the menu", () => chat.hasFocusIn(box.menu()), Boolean)
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

// What the views above leave out.

/** What axe finds in the whole page, with where it is. */
async function barriersOf(page: Page): Promise<string[]> {
  await page.evaluate(await axe)
  return page.evaluate(async () => {
    interface Violation {
      id: string
      impact: string
      nodes: { target: unknown[]; failureSummary?: string }[]
    }
    const { axe } = globalThis as unknown as { axe: { run: (options: object) => Promise<{ violations: Violation[] }> } }
    const { violations } = await axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] })
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .flatMap(({ id, nodes }) =>
        nodes.map((node) => `${id} at ${JSON.stringify(node.target)}: ${node.failureSummary ?? ""}`),
      )
  })
}

const axe = readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")

/** What can't be seen or reached at the width of the window: what has to be scrolled sideways, and buttons that are outside. */
function cutOff(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const found: string[] = []
    const root = document.documentElement
    if (root.scrollWidth > root.clientWidth) found.push(`the page is ${String(root.scrollWidth)} wide`)
    const look = (scope: ParentNode) => {
      for (const element of scope.querySelectorAll("*")) {
        if (element.shadowRoot) look(element.shadowRoot)
        if (!element.checkVisibility({ visibilityProperty: true }) || element.closest(".visually-hidden")) continue
        const style = getComputedStyle(element)
        const label = `${element.tagName.toLowerCase()}.${element.className} ${element.getAttribute("aria-label") ?? ""}`
        if (/auto|scroll/.test(style.overflowX) && !/^(TEXTAREA|INPUT)$/.test(element.tagName))
          if (element.scrollWidth > element.clientWidth + 1) found.push(`${label} has to be scrolled sideways`)
        if (!element.matches("button, a, input, textarea, select, [role=option], [role=menuitem]")) continue
        const { left, right, width, height } = element.getBoundingClientRect()
        if (width > 1 && height > 1 && (left < -1 || right > root.clientWidth + 1))
          found.push(`${label} is at ${String(Math.round(left))}..${String(Math.round(right))}`)
      }
    }
    look(document)
    return found
  })
}

/** Goes through the views that are rarer. */
async function eachRarerView(
  clinic: Clinic,
  options: OpensOptions,
  visit: (chat: Chat, view: string) => Promise<void>,
) {
  const { ann, bob, cai } = clinic
  const night = await bob.createsGroup("Night shift", ann, cai)
  await bob.sends(night, "Who is on call?")
  const own = await ann.createsGroup("Flu clinic", bob, cai)
  await ann.sends(own, "It is me")
  const proxy = await clinic.world.proxy()
  const chat = await ann.opens({ ...options, at: proxy.url })
  chat.expectsToLoseTheServer()

  await chat.openNewChat()
  await chat.newChat().getByRole("button", { name: "New group", exact: true }).click()
  await chat.searches("Bob")
  await chat.found("Bob Okafor").click()
  await chat.searches("C")
  await chat.found("Cai Wu").waitFor()
  await visit(chat, "a new group")
  await chat.newChat().getByRole("button", { name: "Close", exact: true }).click()
  await chat.newChat().waitFor({ state: "detached" })

  const box = await chat.opens("Flu clinic")
  await box.openParticipants()
  await box.participants().getByRole("button", { name: "Edit participants", exact: true }).click()
  await box.picks("Zoë Müller")
  await visit(chat, "adding")
  await chat.page.keyboard.press("Escape")
  await box.button("Remove Cai Wu").click()
  await box.button("Confirm removing Cai Wu").waitFor()
  await visit(chat, "removing")
  await box.chooses("Leave group")
  await chat.dialog("Leave group?").getByLabel("Next owner").waitFor()
  await visit(chat, "leaving what one owns")
  await chat.page.keyboard.press("Escape")
  await chat.dialog("Leave group?").waitFor({ state: "detached" })
  await box.chooses("Delete group")
  await chat.dialog("Delete group?").waitFor()
  await visit(chat, "deleting")
  await chat.page.keyboard.press("Escape")
  await chat.dialog("Delete group?").waitFor({ state: "detached" })
  await box.chooses("Archive chat")
  await chat.toast("Chat archived.").waitFor()
  await visit(chat, "the toast")
  await chat.page.getByRole("button", { name: "Close notice", exact: true }).click()

  const gone = await chat.opens("Night shift")
  await gone.composer().fill("Not me, but")
  await bob.deletes(night)
  await chat.sees("This group was deleted.")
  await visit(chat, "what was deleted")
  await gone.close()
  proxy.cut()
  await chat.sees("No connection. Messages arrive when it is back.")
  await visit(chat, "no connection")
}

test("S14 S29 S36 S50 S58 axe finds no serious barrier in the rarer views either, light and dark", async (clinic) => {
  const found: string[] = []
  await eachRarerView(clinic, { reducedMotion: "reduce" }, async ({ page }, view) => {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" })
      await page.locator(`corridor-chat [data-mantine-color-scheme="${colorScheme}"]`).waitFor({ state: "attached" })
      found.push(...(await barriersOf(page)).map((barrier) => `${view}, ${colorScheme}: ${barrier}`))
    }
  })
  assert.deepEqual(found, [])
})

test("S14 S29 S36 S50 S58 nothing is cut off in the rarer views, 320 pixels wide, from left to right and from right to left", async (clinic) => {
  const found: string[] = []
  await eachRarerView(clinic, { viewport: { width: 320, height: 640 } }, async ({ page }, view) => {
    for (const dir of ["ltr", "rtl"]) {
      await page.evaluate((dir) => (document.documentElement.dir = dir), dir)
      await page.waitForTimeout(100)
      found.push(...(await cutOff(page)).map((what) => `${view}, ${dir}: ${what}`))
    }
    await page.evaluate(() => (document.documentElement.dir = ""))
  })
  assert.deepEqual(found, [])
})

void plainTest(
  "S8 the pages that sign in and help have no serious barrier, light and dark, and nothing is cut off at 320 pixels",
  async () => {
    const context = await (await world.browser()).newContext({ locale: "en-US" })
    try {
      await context.addInitScript("globalThis.__name = (named) => named") // which the build of this file calls
      const page = await context.newPage()
      const found: string[] = []
      const look = async (view: string) => {
        for (const colorScheme of ["light", "dark"] as const) {
          await page.emulateMedia({ colorScheme, reducedMotion: "reduce" })
          if (view !== "signing in")
            await page
              .locator(`corridor-chat [data-mantine-color-scheme="${colorScheme}"]`)
              .waitFor({ state: "attached" })
          found.push(...(await barriersOf(page)).map((barrier) => `${view}, ${colorScheme}: ${barrier}`))
        }
        await page.setViewportSize({ width: 320, height: 640 })
        found.push(...(await cutOff(page)).map((what) => `${view}: ${what}`))
        await page.setViewportSize({ width: 1280, height: 800 })
      }
      await page.goto(world.url)
      const ann = page.getByRole("button", { name: /^Ann Lee/ })
      await ann.waitFor()
      await look("signing in")
      await ann.click()
      await page.locator('corridor-chat [data-connection="live"]').waitFor({ state: "attached" })
      await look("help")
      await page.goto(`${world.url}/example`)
      await page.locator('corridor-chat [data-connection="live"]').waitFor({ state: "attached" })
      await look("the example")
      assert.deepEqual(found, [])
    } finally {
      await context.close()
    }
  },
)

test("S10 S29 S36 S40 S50 keys alone add, remove and mute; Esc goes one step back, and the focus is never lost", async ({
  ann,
  bob,
}) => {
  const id = await ann.createsGroup("Flu clinic", bob)
  await ann.sends(id, "hello")
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
  const has = (name: string) =>
    eventually(
      `${name} has the focus`,
      () => chat.focus(),
      (focus) => focus === name,
    )

  await to("Chats")
  await keys.press("Enter")
  await has("New Chat")
  await keys.press("Escape")
  await has("Chats")
  assert.equal(await chat.dropdown().count(), 0)
  await keys.press("Enter")
  await has("New Chat")
  await keys.press("Enter")
  await has("Name or email address")
  await keys.press("Escape")
  await chat.newChat().waitFor({ state: "detached" })
  await has("Chats")
  await keys.press("Enter")
  await chat.recent("Flu clinic").waitFor()
  await eventually(
    "the focus comes to the row",
    async () => {
      if ((await chat.focus()) === "New Chat") await keys.press("Tab")
      return chat.hasFocusIn(chat.recent("Flu clinic"))
    },
    Boolean,
  )
  await keys.press("Enter")
  const box = await chat.box("Flu clinic").isOpen()
  await has("Message")

  await to("Participants", "Shift+Tab")
  await keys.press("Enter")
  await to("Edit participants")
  await keys.press("Enter")
  await has("Name or email address")
  await keys.type("cai")
  await box.locator.locator('[role="option"][aria-selected="true"]').waitFor()
  await keys.press("Enter")
  await to("Add")
  await keys.press("Enter")
  await box.participants().getByText("Cai Wu was added.").waitFor()
  await has("Name or email address")
  await keys.press("Escape")
  await has("Edit participants")

  await to("Remove Cai Wu")
  await keys.press("Enter")
  await has("Confirm removing Cai Wu")
  await keys.press("Escape")
  await has("Remove Cai Wu")
  await box.isOpen()
  await keys.press("Enter")
  await has("Confirm removing Cai Wu")
  await keys.press("Enter")
  await box.participants().getByText("Cai Wu was removed.").waitFor()
  await eventually("the focus is in the box", () => chat.hasFocusIn(box.locator), Boolean)

  await to("Chat options", "Shift+Tab")
  await keys.press("Enter")
  await eventually("the focus is in the menu", () => chat.hasFocusIn(box.menu()), Boolean)
  await to("Mute Notifications", "ArrowDown")
  await keys.press("Enter")
  await box.mutedBell().first().waitFor()
  await has("Chat options")
  await keys.press("Enter")
  await eventually("the focus is in the menu", () => chat.hasFocusIn(box.menu()), Boolean)
  await to("Leave group", "ArrowDown")
  await keys.press("Enter")
  const dialog = chat.dialog("Leave group?")
  await dialog.waitFor()
  await eventually("the focus is in the dialog", () => chat.hasFocusIn(dialog), Boolean)
  for (let i = 0; i < 6; i++) {
    await keys.press("Tab")
    assert.ok(await chat.hasFocusIn(dialog), "the focus is trapped")
  }
  await keys.press("Escape")
  await dialog.waitFor({ state: "detached" })
  await has("Chat options")
  await to("Close chat")
  await keys.press("Enter")
  await box.isClosed()
  await has("Chats")
})

test("S11 S12 two people see one message at the time of their own zone and in their own words, and its day likewise", async ({
  ann,
  bob,
}) => {
  const id = await bob.startsChatWith(ann)
  await bob.sends(id, "hello")
  const sent = new Date()
  const seen: { times: string; separators: string[] }[] = []
  // The two are 25 hours apart: it is never the same day there.
  for (const [person, other, timezoneId, locale] of [
    [ann, bob, "Pacific/Kiritimati", "de-DE"],
    [bob, ann, "Pacific/Pago_Pago", "en-US"],
  ] as const) {
    const chat = await person.opens({ timezoneId, locale })
    const box = await chat.opens(other.name)
    const time = ((await box.message("hello").locator("time").textContent()) ?? "").replace(/\s/g, " ")
    const there = new Intl.DateTimeFormat(locale, { hour: "numeric", minute: "2-digit", timeZone: timezoneId })
    const minutes = [0, -60_000].map((ago) => there.format(sent.getTime() + ago).replace(/\s/g, " "))
    assert.ok(minutes.includes(time), `${time} is not ${minutes.join(" or ")}`)
    const separator = async () => (await box.log().locator(".separator").first().textContent()) ?? ""
    const separators = [await separator()]
    for (const days of [1, 5]) {
      await chat.page.clock.setFixedTime(sent.getTime() + days * 86_400_000)
      await chat.reloads()
      await (await chat.opens(other.name)).hears("hello")
      separators.push(await separator())
    }
    seen.push({ times: time, separators })
    const whole = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeZone: timezoneId })
    assert.equal(separators[2], whole.format(sent))
  }

  assert.notEqual(seen[0]?.times, seen[1]?.times)
  assert.deepEqual(
    seen.map(({ separators }) => separators.slice(0, 2)),
    [
      ["Heute", "Gestern"],
      ["Today", "Yesterday"],
    ],
  )
  assert.notEqual(seen[0]?.separators[2], seen[1]?.separators[2])
})

test("S12 a page from right to left is mirrored, and a message keeps its own direction in it", async ({ ann, bob }) => {
  const id = await bob.startsChatWith(ann)
  await bob.sends(id, "שלום\nהחדר השלישי מוכן עכשיו למטופל הבא")
  await bob.sends(id, "hello\nthe third room is ready for the next one")
  const chat = await ann.opens({ html: `<corridor-chat></corridor-chat><p>ראש הדף</p>` })
  await chat.page.evaluate(() => (document.documentElement.dir = "rtl"))

  const box = await chat.opens("Bob Okafor")
  await box.log().locator("p.text").nth(1).waitFor()

  /** Where the first, shorter line of a text is: at which end of it. */
  const ends = await box
    .log()
    .locator("p.text")
    .evaluateAll((texts) =>
      texts.map((text) => {
        const range = document.createRange()
        range.setStart(text.firstChild as Text, 0)
        range.setEnd(text.firstChild as Text, 4)
        const [line, whole] = [range.getBoundingClientRect(), text.getBoundingClientRect()]
        return line.left - whole.left > whole.right - line.right ? "right" : "left"
      }),
    )
  assert.deepEqual(ends, ["right", "left"])
  const middle = async (locator: Locator) => {
    const at = await locator.boundingBox()
    assert.ok(at, "it has a place")
    return at.x + at.width / 2
  }
  assert.ok((await middle(box.locator)) < 640, "the box is at the left")
  assert.equal(
    (await middle(box.button("Close chat"))) < (await middle(box.locator.getByRole("heading").first())),
    true,
  )
  assert.equal((await middle(box.button("Send"))) < (await middle(box.composer())), true)
  assert.deepEqual(await cutOff(chat.page), [])
})

test("S9 the element is light or dark as the page says, and otherwise as the system is, also when that changes", async ({
  ann,
  bob,
}) => {
  await bob.sends(await bob.startsChatWith(ann), "hello")
  const chat = await ann.opens({ colorScheme: "dark" })
  const box = await chat.opens("Bob Okafor")
  await box.hears("hello")
  /** Whether the box is dark and its letters light, or the other way round. */
  const looks = () =>
    box.locator.evaluate((panel) => {
      const bright = (color: string) =>
        (color.match(/\d+/g) ?? []).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3
      const style = getComputedStyle(panel)
      const [ground, letters] = [bright(style.backgroundColor), bright(style.color)]
      return ground > 200 && letters < 100
        ? "light"
        : ground < 100 && letters > 150
          ? "dark"
          : `${style.backgroundColor} ${style.color}`
    })
  const says = (scheme: string) =>
    chat.page.evaluate(
      (scheme) => document.querySelector("corridor-chat")?.setAttribute("color-scheme", scheme),
      scheme,
    )

  await becomes("as the system", looks, "dark")
  await says("light")
  await becomes("as the page says", looks, "light")
  await chat.page.emulateMedia({ colorScheme: "light" })
  await says("dark")
  await becomes("as the page says", looks, "dark")
  await says("auto")
  await becomes("as the system", looks, "light")
  await chat.page.emulateMedia({ colorScheme: "dark" })
  await becomes("as the system has changed", looks, "dark")
})

test("S26 who wants no motion sees none, in whatever opens, loads or arrives", async ({ ann, bob }) => {
  const id = await bob.startsChatWith(ann)
  await bob.sends(id, "hello")
  const chat = await ann.opens({ reducedMotion: "reduce" })
  await chat.page.evaluate(() => {
    const moved = new Set<string>()
    Object.assign(globalThis, { moved })
    const look = () => {
      const root = document.querySelector("corridor-chat")?.shadowRoot?.querySelector(".corridor")
      for (const animation of [...document.getAnimations(), ...(root?.getAnimations({ subtree: true }) ?? [])]) {
        const { effect } = animation
        const { duration, iterations } = effect?.getComputedTiming() ?? {}
        if (Number(duration) > 1 || iterations === Infinity)
          moved.add(`${(effect as KeyframeEffect).target?.className ?? ""} for ${String(duration)} ms`)
      }
      requestAnimationFrame(look)
    }
    look()
  })

  const box = await chat.opens("Bob Okafor")
  await box.hears("hello")
  await bob.sends(id, "again")
  await box.hears("again")
  await chat.seesAllChats()
  await chat.closesAllChats()
  await box.chooses("Mute Notifications")
  await box.mutedBell().waitFor()
  await box.chooses("Archive chat")
  await chat.toast("Chat archived.").waitFor()
  await chat.openNewChat()
  await chat.found("Bob Okafor").waitFor()

  assert.deepEqual(await chat.page.evaluate(() => [...(globalThis as unknown as { moved: Set<string> }).moved]), [])
})
