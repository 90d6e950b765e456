import assert from "node:assert/strict"
import { readFile } from "node:fs/promises"
import { deflateSync } from "node:zlib"
import type { Box, Chat } from "./chat"
import { eventually, startWorld } from "./world"

const world = await startWorld({ CORRIDOR_FILE_SIZE: "6" })
const { test } = world

/** A text of that many bytes, which do not come easily. */
function text(bytes: number): Buffer {
  return Buffer.from(
    Array.from({ length: Math.ceil(bytes / 16) }, (_, i) => `line ${String(i).padStart(10, "0")}`).join("\n"),
  ).subarray(0, bytes)
}

/** A PNG of one colour. */
function picture(): Buffer {
  const size = 64
  const chunk = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type), data])
    const whole = Buffer.alloc(body.length + 8)
    whole.writeUInt32BE(data.length)
    body.copy(whole, 4)
    whole.writeUInt32BE(crc(body), body.length + 4)
    return whole
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(size)
  header.writeUInt32BE(size, 4)
  header.set([8, 2, 0, 0, 0], 8)
  const row = Buffer.concat([Buffer.from([0]), Buffer.alloc(size * 3, 120)])
  const rows = Buffer.concat(Array.from({ length: size }, () => row))
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(rows)),
    chunk("IEND", Buffer.alloc(0)),
  ])
}

function crc(bytes: Buffer): number {
  let crc = ~0
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  }
  return ~crc >>> 0
}

interface Upload {
  name: string
  mimeType: string
  buffer: Buffer
}

async function attaches(box: Box, ...files: Upload[]) {
  const chooser = box.chat.page.waitForEvent("filechooser")
  await box.button("Attach files").click()
  await (await chooser).setFiles(files)
}

async function drops(box: Box, file: Upload) {
  const transfer = await box.chat.page.evaluateHandle(
    ({ name, type, bytes }) => {
      const transfer = new DataTransfer()
      transfer.items.add(new File([Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0))], name, { type }))
      return transfer
    },
    { name: file.name, type: file.mimeType, bytes: file.buffer.toString("base64") },
  )
  for (const type of ["dragenter", "dragover", "drop"])
    await box.composer().dispatchEvent(type, { dataTransfer: transfer })
}

const toSend = (box: Box) => box.locator.getByRole("list", { name: "Files to send", exact: true })

/** The bytes that the button of a file downloads. */
async function downloads(box: Box, name: string): Promise<Buffer> {
  const download = box.chat.page.waitForEvent("download")
  await box.button(`Download ${name}`).click()
  return readFile(await (await download).path())
}

test("S24 Ann drops a picture and attaches a text; Bob sees the preview and downloads what she sent", async ({
  ann,
  bob,
}) => {
  await ann.sends(await ann.startsChatWith(bob), "I have two files")
  const [anns, bobs] = await Promise.all([ann.opens(), bob.opens({ acceptDownloads: true })])
  const [box, his] = [await anns.opens("Bob Okafor"), await bobs.opens("Ann Lee")]

  await drops(box, { name: "scan.png", mimeType: "image/png", buffer: picture() })
  await toSend(box).getByText("scan.png").waitFor()
  await attaches(box, { name: "notes.txt", mimeType: "text/plain", buffer: text(40_000) })
  await toSend(box).getByText("notes.txt").waitFor()
  await box.composer().fill("here they are")
  await box.button("Send").click()

  await his.hears("here they are")
  assert.deepEqual(await downloads(his, "notes.txt"), text(40_000))
  await his.button("Open scan.png").click()
  const preview = bobs.dialog("scan.png")
  await preview.getByRole("img", { name: "scan.png", exact: true }).waitFor()
  await bobs.page.keyboard.press("Escape")
  await preview.waitFor({ state: "detached" })
  await box.button("Open scan.png").waitFor()
})

test("S24 a file can be taken out again before it is sent", async ({ ann, bob }) => {
  await ann.sends(await ann.startsChatWith(bob), "hello")
  const chat = await ann.opens()
  const box = await chat.opens("Bob Okafor")
  await attaches(
    box,
    { name: "one.txt", mimeType: "text/plain", buffer: text(100) },
    { name: "two.txt", mimeType: "text/plain", buffer: text(100) },
  )

  await box.button("Remove one.txt").click()
  await toSend(box).getByText("one.txt").waitFor({ state: "detached" })
  await box.button("Send").click()

  await box.button("Download two.txt").waitFor()
  assert.equal(await box.button("Download one.txt").count(), 0)
})

test("S24 a file that is too large or of a wrong kind says so at once, and the rest can still be sent", async ({
  ann,
  bob,
}) => {
  await ann.sends(await ann.startsChatWith(bob), "hello")
  const chat = await ann.opens()
  chat.expects(/the server responded with a status of 422/)
  const box = await chat.opens("Bob Okafor")

  await attaches(
    box,
    { name: "huge.txt", mimeType: "text/plain", buffer: text(7 << 20) },
    { name: "tool.exe", mimeType: "application/x-msdownload", buffer: Buffer.from("MZ tool") },
    { name: "liar.png", mimeType: "image/png", buffer: text(100) },
    { name: "good.txt", mimeType: "text/plain", buffer: text(100) },
  )

  const item = (name: string) => toSend(box).getByRole("listitem").filter({ hasText: name })
  await item("huge.txt")
    .getByText(/too large|at most|megabytes|MB/i)
    .first()
    .waitFor()
  await item("tool.exe")
    .getByText(/not|type|kind/i)
    .first()
    .waitFor()
  await item("liar.png")
    .getByText(/its bytes are text/)
    .waitFor()
  for (const name of ["huge.txt", "tool.exe", "liar.png"]) await box.button(`Remove ${name}`).click()
  await box.button("Send").click()
  await box.button("Download good.txt").waitFor()
})

test("S24 an upload whose connection is cut in the middle goes on where it was, by itself", async ({ ann, bob }) => {
  const proxy = await world.proxy()
  await ann.sends(await ann.startsChatWith(bob), "hello")
  const chat = await ann.opens({ at: proxy.url })
  chat.expectsToLoseTheServer()
  const box = await chat.opens("Bob Okafor")
  const buffer = text(5 << 20)
  proxy.cutAfter(2 << 20)

  await attaches(box, { name: "film.txt", mimeType: "text/plain", buffer })
  await chat.isInterrupted()
  await box.locator.getByRole("progressbar", { name: "Uploading film.txt", exact: true }).waitFor()
  proxy.mend()
  await chat.isLive()
  await box.locator.getByRole("progressbar").waitFor({ state: "detached" })
  await box.button("Send").click()

  assert.deepEqual(await downloads(box, "film.txt"), buffer)
})

const item = (box: Box, name: string) => toSend(box).getByRole("listitem").filter({ hasText: name })
const bar = (box: Box, name: string) => box.locator.getByRole("progressbar", { name: `Uploading ${name}`, exact: true })
const percent = async (box: Box, name: string) => Number(await bar(box, name).getAttribute("aria-valuenow"))

/** From now on the page sends so many bytes each second. */
async function slows(chat: Chat, uploadThroughput: number) {
  const cdp = await chat.page.context().newCDPSession(chat.page)
  const conditions = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput }
  await cdp.send("Network.emulateNetworkConditions", conditions)
}

test("S24 a real drag says where to drop and keeps the page where it is", async ({ ann, bob }) => {
  await ann.sends(await ann.startsChatWith(bob), "hello")
  const chat = await ann.opens()
  const box = await chat.opens("Bob Okafor")
  const path = await world.writes("handover.txt", "Room 3 waits.\n")
  const cdp = await chat.page.context().newCDPSession(chat.page)
  await box.hears("hello")
  const place = await box.log().boundingBox()
  assert.ok(place, "it has a place")
  const drag = (type: "dragEnter" | "dragOver" | "drop") =>
    cdp.send("Input.dispatchDragEvent", {
      type,
      x: place.x + place.width / 2,
      y: place.y + place.height / 2,
      data: { items: [], files: [path], dragOperationsMask: 1 },
    })

  await drag("dragEnter")
  await drag("dragOver")
  await box.locator.getByText("Drop files to send them").waitFor()
  await drag("drop")

  await item(box, "handover.txt").getByText("Ready").waitFor()
  assert.equal(await box.locator.getByText("Drop files to send them").count(), 0)
  assert.equal(chat.page.url().endsWith("/host"), true)
})

test("S24 a picture is pasted; a pasted text stays a text", async ({ ann, bob }) => {
  await ann.sends(await ann.startsChatWith(bob), "hello")
  const chat = await ann.opens({ permissions: ["clipboard-read", "clipboard-write"] })
  const box = await chat.opens("Bob Okafor")
  await chat.page.evaluate(async (bytes) => {
    const blob = new Blob([new Uint8Array(bytes)], { type: "image/png" })
    await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })])
  }, Array.from(picture()))

  await box.composer().press("Control+V")
  await item(box, "image.png").getByText("Ready").waitFor()
  await chat.page.evaluate(() => navigator.clipboard.writeText("See the scan."))
  await box.composer().press("Control+V")
  assert.equal(await box.composer().inputValue(), "See the scan.")
  assert.equal(await toSend(box).getByRole("listitem").count(), 1)
  await box.composer().press("Enter")

  await box.hears("See the scan.")
  await eventually(
    "the small picture is drawn",
    () =>
      box
        .button("Open image.png")
        .locator("img")
        .evaluateAll((images) => images.some((image) => (image as HTMLImageElement).naturalWidth > 0)),
    Boolean,
  )
})

test("S24 a bar shows how far a file is, and the message waits for it; taken out, the text goes alone", async ({
  ann,
  bob,
}) => {
  const withBob = await ann.startsChatWith(bob)
  await ann.sends(withBob, "hello")
  const chat = await ann.opens()
  const box = await chat.opens("Bob Okafor")
  await slows(chat, 1_500_000)

  await attaches(box, { name: "long.txt", mimeType: "text/plain", buffer: text(5 << 20) })
  await box.composer().fill("Without it, then.")
  const seen = new Set<number>()
  await eventually(
    "the bar moves",
    async () => seen.add(await percent(box, "long.txt")).size,
    (size) => size >= 4,
  )
  assert.deepEqual(
    [...seen],
    [...seen].toSorted((one, other) => one - other),
    "it only grows",
  )
  await box.composer().press("Enter")
  assert.equal(await box.button("Send").isDisabled(), true)
  assert.equal(await box.composer().inputValue(), "Without it, then.")
  await box.button("Remove long.txt").click()
  assert.equal(await chat.focus(), "Message")
  await box.composer().press("Enter")

  await box.message("Without it, then.").getByText(/Sent/).waitFor()
  assert.deepEqual(await bob.transcript(withBob), ["hello", "Without it, then."])
  assert.equal(await box.button("Download long.txt").count(), 0)
})

test("S24 an upload goes on where it was after the server was killed and started again", async ({ ann, bob }) => {
  await ann.sends(await ann.startsChatWith(bob), "hello")
  const chat = await ann.opens()
  chat.expectsToLoseTheServer()
  const box = await chat.opens("Bob Okafor")
  const from: number[] = []
  chat.page.on("request", (request) => {
    if (request.method() === "PATCH") from.push(Number(request.headers()["upload-offset"]))
  })
  const buffer = text(5 << 20)
  await slows(chat, 2_000_000)

  await attaches(box, { name: "film.txt", mimeType: "text/plain", buffer })
  await eventually(
    "it is half there",
    () => percent(box, "film.txt"),
    (percent) => percent > 55,
  )
  await world.server.stop("SIGKILL")
  await item(box, "film.txt").getByRole("status").waitFor()
  const before = from.length
  await world.server.start()
  await item(box, "film.txt").getByText("Ready").waitFor({ timeout: 60_000 })
  assert.ok((from[before] ?? 0) >= 2 << 20, `it went on from ${String(from[before])}`)
  await chat.isLive()
  await box.button("Send").click()

  assert.deepEqual(await downloads(box, "film.txt"), buffer)
})
