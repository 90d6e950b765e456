import assert from "node:assert/strict"
import { startWorld } from "./world"

const { test } = await startWorld()

test("S9 S10 the bubble beside Ann's name opens the dropdown; Esc and a click outside close it and the focus returns", async ({ ann }) => {
  const chat = await ann.opens()

  await chat.bubble().click()

  assert.ok(await chat.dropdown().isVisible())
})
