import { MantineProvider } from "@mantine/core"
import { cleanup, fireEvent, render, screen } from "@testing-library/react"
import { useState } from "react"
import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { type Choice, PeoplePicker } from "./PeoplePicker"

const ann = { id: "1", name: "Ann Lee" }
const bob = { id: "2", name: "Bob Okafor" }
const desk = { id: "3", name: "Front desk" }
const sections = [
  { name: "People", choices: [ann, bob] },
  { name: "Groups", choices: [desk] },
]

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  cleanup()
  vi.useRealTimers()
})

/** A picker that has found all three for whatever it was asked last. */
function Found({ onChoose, foundFor }: { onChoose: (choice: Choice) => void; foundFor?: string }) {
  const [query, setQuery] = useState("")
  return <PeoplePicker sections={sections} foundFor={foundFor ?? query} onSearch={setQuery} onChoose={onChoose} />
}

function show(element: React.ReactNode) {
  render(<MantineProvider env="test">{element}</MantineProvider>)
  const box = screen.getByRole("combobox", { name: "Name or email address" })
  return {
    box,
    types: (text: string) => {
      fireEvent.change(box, { target: { value: text } })
      vi.advanceTimersByTime(200)
    },
    presses: (key: string) => fireEvent.keyDown(box, { key }),
    active: () => {
      const id = box.getAttribute("aria-activedescendant")
      return id === null ? undefined : document.getElementById(id)?.textContent.trim()
    },
  }
}

test("Arrow keys go through people and groups, and around", () => {
  const { presses, active } = show(<Found onChoose={vi.fn()} />)

  const seen = ["ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp"].map((key) => {
    presses(key)
    return active()
  })

  expect(seen).toEqual(["Ann Lee", "Bob Okafor", "Front desk", "Ann Lee", "Front desk"])
})

test("Enter takes the first one found for what was typed", async () => {
  const onChoose = vi.fn()
  const { types, presses } = show(<Found onChoose={onChoose} />)
  types("ann")
  await vi.waitFor(() =>
    expect(screen.getByRole("listbox", { name: "Results" }).getAttribute("aria-busy")).toBe("false"),
  )

  presses("Enter")

  expect(onChoose).toHaveBeenCalledExactlyOnceWith(ann)
})

test("Enter takes nobody who was found for something else", () => {
  const onChoose = vi.fn()
  const { types, presses } = show(<Found onChoose={onChoose} foundFor="" />)
  types("zoe")

  presses("Enter")

  expect(onChoose).not.toHaveBeenCalled()
})

test("Esc clears the box first, and is the dialog's only when it is empty", () => {
  const onKeyDown = vi.fn()
  const { box, types, presses } = show(
    <div onKeyDown={onKeyDown}>
      <Found onChoose={vi.fn()} />
    </div>,
  )
  types("ann")

  presses("Escape")

  expect((box as HTMLInputElement).value).toBe("")
  expect(onKeyDown).not.toHaveBeenCalled()
  presses("Escape")
  expect(onKeyDown).toHaveBeenCalledOnce()
})

test("Who is picked is a chip and is offered no more; backspace takes the last chip back", () => {
  const onUnpick = vi.fn()
  const { presses } = show(
    <PeoplePicker
      sections={sections}
      foundFor=""
      onSearch={vi.fn()}
      onChoose={vi.fn()}
      picked={[ann, bob]}
      onUnpick={onUnpick}
    />,
  )
  expect(screen.getAllByRole("option").map((option) => option.textContent.trim())).toEqual(["Front desk"])
  expect(screen.getByRole("button", { name: "Remove Ann Lee from selection" })).toBeTruthy()

  presses("Backspace")

  expect(onUnpick).toHaveBeenCalledExactlyOnceWith(bob)
})
