import { startWorld } from "./world"
const { test } = await startWorld()
test("probe", async ({ ann, chats }) => {
  await Promise.race([ann.opens(), new Promise((r) => setTimeout(r, 5000))])
  const page = chats[0]!.page
  console.log(await page.content())
  console.log(await page.evaluate(() => document.querySelector("corridor-chat")?.shadowRoot?.innerHTML.slice(0, 1500)))
  page.on("websocket", (s) => { s.on("framereceived", (f) => console.log("<", String(f.payload).slice(0, 200))); s.on("framesent", (f) => console.log(">", String(f.payload).slice(0, 200))); s.on("close", () => console.log("closed")) })
  page.on("response", (r) => console.log(r.status(), r.url()))
  await page.reload()
  await page.waitForTimeout(3000)
})
