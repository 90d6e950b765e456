import { useCallback, useRef, useState } from "react"
import { Session, type TokenSource } from "../graphql/session"
import { Api, sentence } from "./api"
import { getToKnow, type Known } from "./known"
import { type Tab, tabs } from "./operations"

/** Who is signed in, or on the way to it. */
export type SignIn = { key: string; problem?: string } & (
  { is: "signed out" | "signing in" } | { is: "signed in"; api: Api; known: Known; tabs: Tab[] }
)

/**
 * Signs people in, one at a time: whatever ran for the one before ends. Tokens are in memory only. Who comes back
 * finds their tabs as they left them.
 */
export function useSignIn() {
  const [state, setState] = useState<SignIn>({ is: "signed out", key: "" })
  const current = useRef<Api>(undefined)
  const desks = useRef(new Map<string, Tab[]>())

  const signIn = useCallback(async (key: string, token: TokenSource) => {
    current.current?.close()
    const api = new Api(new Session(new URL("/graphql", location.href), token))
    current.current = api
    setState({ is: "signing in", key })
    try {
      const known = await getToKnow(api)
      if (current.current === api)
        setState({ is: "signed in", key, api, known, tabs: desks.current.get(key) ?? tabs(known) })
    } catch (reason) {
      if (current.current === api) setState({ is: "signed out", key, problem: sentence(reason) })
    }
  }, [])

  /** Keeps the tabs of somebody as they are now. */
  const keep = useCallback((key: string, tabs: Tab[]) => void desks.current.set(key, tabs), [])

  return { state, signIn, keep }
}
