import { useEffect, useRef, useState } from "react"
import type { UnreadCounts } from "../app/Chat"
import type { CorridorChat } from "../CorridorChat"
import type { TokenSource } from "../graphql/session"
import { HelpPage } from "./HelpPage"

interface Person {
  email: string
  name: string
  roleLabel: string
}

interface DemoClinic {
  clinic: string
  people: Person[]
}

/** The page at `/`: a host page of the chat, as a clinic has one of its own. In the demo clinic one picks who to be. */
export function Page() {
  const [demo, setDemo] = useState<DemoClinic | "none" | "unreachable">()
  const [person, setPerson] = useState<Person>()
  const [attempt, setAttempt] = useState(0)
  useEffect(() => {
    let isCurrent = true
    fetch("/demo/people").then(
      async (response) => {
        const found = response.ok
          ? ((await response.json()) as DemoClinic)
          : response.status === 404
            ? "none"
            : "unreachable"
        if (isCurrent) setDemo(found)
      },
      () => isCurrent && setDemo("unreachable"),
    )
    return () => {
      isCurrent = false
    }
  }, [attempt])
  useEffect(() => {
    if (demo !== "unreachable") return
    const timer = setTimeout(() => setAttempt((attempt) => attempt + 1), 2_000)
    return () => clearTimeout(timer)
  }, [demo, attempt])
  if (person && typeof demo === "object")
    return <Clinic name={demo.clinic} person={person} onSignOut={() => setPerson(undefined)} />
  return (
    <main className="sign-in">
      <h1>Corridor</h1>
      {demo === undefined && <p role="status">Loading…</p>}
      {demo === "unreachable" && <p role="status">The server does not answer. Trying again…</p>}
      {demo === "none" && (
        <p>
          Here the clinic’s own application signs people in, and has the chat as a part of its pages.{" "}
          <a href="/example">See how a page does that.</a>
        </p>
      )}
      {typeof demo === "object" && (
        <>
          <h2>Sign in to {demo.clinic}</h2>
          <p>It is made up, and so are its people. Pick one; open another window to be somebody else there.</p>
          <ul>
            {demo.people.map((person) => (
              <li key={person.email}>
                <button type="button" onClick={() => setPerson(person)}>
                  <bdi>{person.name}</bdi> <span>{person.roleLabel}</span>
                </button>
              </li>
            ))}
          </ul>
          <p>
            <a href="/explorer">API explorer</a> · <a href="/example">Example of a page with the chat</a>
          </p>
        </>
      )}
    </main>
  )
}

/** A token for a person of the demo clinic: a host page has its own way to come by one. */
async function demoToken({ email }: Person): Promise<string> {
  const response = await fetch("/demo/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ email }),
  })
  if (!response.ok) throw new Error(`No token: ${String(response.status)}`)
  const { token } = (await response.json()) as { token: string }
  return token
}

function Clinic({ name, person, onSignOut }: { name: string; person: Person; onSignOut: () => void }) {
  const chat = useRef<CorridorChat>(null)
  const [supportContact, setSupportContact] = useState("")
  useEffect(() => {
    const element = chat.current
    const onUnread = (event: Event) => {
      const { conversations } = (event as CustomEvent<UnreadCounts>).detail
      document.title = conversations > 0 ? `(${String(conversations)}) ${name}` : name
    }
    element?.addEventListener("unreadchange", onUnread)
    return () => {
      element?.removeEventListener("unreadchange", onUnread)
      document.title = "Corridor"
    }
  }, [name])
  useEffect(() => {
    const token: TokenSource = () => demoToken(person)
    if (chat.current) chat.current.token = token
    void contactOf(token).then(setSupportContact, () => undefined)
  }, [person])
  return (
    <>
      <header className="clinic">
        <strong>{name}</strong>
        <nav aria-label="Clinic">
          <a href="/explorer">API explorer</a>
          <button type="button" onClick={onSignOut}>
            Sign out
          </button>
        </nav>
        <corridor-chat ref={chat} />
      </header>
      <HelpPage supportContact={supportContact} />
    </>
  )
}

/** Whom the clinic names for questions (S63). */
async function contactOf(token: TokenSource): Promise<string> {
  const response = await fetch("/graphql", {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${await token()}` },
    body: JSON.stringify({ query: "{ viewer { clinic { supportContact } } }" }),
  })
  const { data } = (await response.json()) as { data: { viewer: { clinic: { supportContact: string } } } }
  return data.viewer.clinic.supportContact
}

declare module "react" {
  // eslint-disable-next-line @typescript-eslint/no-namespace -- React's own way to make elements known
  namespace JSX {
    interface IntrinsicElements {
      "corridor-chat": {
        ref?: React.Ref<CorridorChat>
        "color-scheme"?: string
        "hide-name"?: boolean
        endpoint?: string
      }
    }
  }
}
