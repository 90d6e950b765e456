import { useCallback, useEffect, useState } from "react"
import { sentence } from "./api"
import { clientKey } from "../graphql/clientKey"
import { type Demo, fetchDemo, fetchDemoToken } from "./demo"
import { People } from "./People"
import { TokenField } from "./TokenField"
import { useSignIn } from "./useSignIn"
import { Workbench } from "./Workbench"

/** The page: who is signed in, and below it the API to try out. */
export function Page() {
  const { state, signIn, keep } = useSignIn()
  const [demo, setDemo] = useState<Demo | null>()
  const [problem, setProblem] = useState<string>()

  const signInAs = useCallback((email: string) => signIn(email, () => fetchDemoToken(email)), [signIn])

  const start = useCallback(() => {
    fetchDemo().then(
      (demo) => {
        setProblem(undefined)
        setDemo(demo)
        const first = demo?.people[0]
        if (first) void signInAs(first.email)
      },
      (reason: unknown) => setProblem(sentence(reason)),
    )
  }, [signInAs])
  useEffect(start, [start])

  return (
    <>
      <header className="bar">
        <h1>Corridor API explorer</h1>
        {demo && <People demo={demo} email={state.key} onChange={(email) => void signInAs(email)} />}
        {demo === null && <TokenField onToken={(token) => void signIn(clientKey(), () => token)} />}
        <p role="status">
          {state.is === "signing in" && "Signing in …"}
          {state.is === "signed in" && describe(state.known, demo)}
        </p>
        {(problem ?? state.problem) && <p role="alert">{problem ?? state.problem}</p>}
        {(problem ?? (demo && state.problem)) && (
          <button type="button" onClick={() => (problem ? start() : void signInAs(state.key))}>
            Try again
          </button>
        )}
      </header>
      <main>
        {state.is === "signed in" && (
          <Workbench key={state.key} api={state.api} tabs={state.tabs} onTabs={(tabs) => keep(state.key, tabs)} />
        )}
      </main>
    </>
  )
}

function describe(who: { name: string; roleLabel: string; clinic: string }, demo: Demo | null | undefined): string {
  return demo ? who.clinic : `Signed in as ${who.name}, ${who.roleLabel} at ${who.clinic}`
}
