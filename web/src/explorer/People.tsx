import { useId } from "react"
import type { Demo } from "./demo"

interface PeopleProps {
  demo: Demo
  /** Who is signed in. */
  email: string
  onChange: (email: string) => void
}

/** Lets one choose as whom of the demo clinic to look at the API. */
export function People({ demo, email, onChange }: PeopleProps) {
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id}>Signed in as</label>
      <select id={id} value={email} onChange={(event) => onChange(event.currentTarget.value)}>
        {demo.people.map((person) => (
          <option key={person.email} value={person.email}>
            {person.name}, {person.roleLabel}
          </option>
        ))}
      </select>
    </div>
  )
}
