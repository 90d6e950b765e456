import { cleanup, render, screen } from "@testing-library/react"
import { useRef } from "react"
import { afterEach, expect, test } from "vitest"
import { useKeepFocus } from "./focus"

afterEach(cleanup)

function List({ names }: { names: string[] }) {
  const heading = useRef<HTMLHeadingElement>(null)
  const keepFocus = useKeepFocus(heading)
  return (
    <section {...keepFocus}>
      <h3 ref={heading} tabIndex={-1}>
        People
      </h3>
      {names.map((name) => (
        <button key={name}>{name}</button>
      ))}
    </section>
  )
}

test("S36 when the row that has the focus goes away, its list keeps it", () => {
  const { rerender } = render(<List names={["Ann Lee", "Bob Okafor"]} />)
  screen.getByText("Bob Okafor").focus()

  rerender(<List names={["Bob Okafor"]} />)
  expect(document.activeElement?.textContent).toBe("Bob Okafor")

  rerender(<List names={[]} />)
  expect(document.activeElement?.textContent).toBe("People")
})

test("S36 a list takes no focus that was elsewhere", () => {
  const { rerender } = render(<List names={["Ann Lee", "Bob Okafor"]} />)
  const bob = screen.getByText("Bob Okafor")
  bob.focus()
  bob.blur()

  rerender(<List names={[]} />)
  expect(document.activeElement).toBe(document.body)
})
