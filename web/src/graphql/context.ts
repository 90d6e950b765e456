import { createContext, use } from "react"
import type { Session } from "./session"

export const SessionContext = createContext<Session | null>(null)

/** The session of the person who is signed in. */
export function useSession(): Session {
  const session = use(SessionContext)
  if (!session) throw new Error("useSession needs a SessionContext around it")
  return session
}
