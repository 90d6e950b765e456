import { ApolloClient, ApolloLink, InMemoryCache, Observable, type TypedDocumentNode } from "@apollo/client"
import { ApolloProvider } from "@apollo/client/react"
import { act, cleanup, renderHook } from "@testing-library/react"
import { parse } from "graphql"
import { afterEach, expect, test } from "vitest"
import { useAct } from "./useAct"

interface Data {
  rename: { userErrors: { message: string; field: string[] }[] }
}

const Rename: TypedDocumentNode<Data, { input: { clientKey: string; name: string } }> = parse(`
  mutation Rename($input: RenameInput!) {
    rename(input: $input) {
      userErrors {
        message
        field
      }
    }
  }
`)

afterEach(cleanup)

/** Somebody who renames things at a server that gives these answers, one after the other. */
function renamer(answers: ("lost" | "done" | "refused")[]) {
  const keys: string[] = []
  const link = new ApolloLink(({ variables }) => {
    keys.push((variables.input as { clientKey: string }).clientKey)
    const answer = answers.shift()
    return new Observable((observer) => {
      if (answer === "lost") {
        observer.error(new TypeError("Failed to fetch"))
        return
      }
      const userErrors = answer === "refused" ? [{ message: "A name is too long.", field: ["name"] }] : []
      observer.next({ data: { rename: { userErrors } } })
      observer.complete()
    })
  })
  const client = new ApolloClient({ link, cache: new InMemoryCache() })
  const { result } = renderHook(() => useAct(Rename, (data) => data.rename), {
    wrapper: ({ children }) => <ApolloProvider client={client}>{children}</ApolloProvider>,
  })
  return { keys, renames: (name: string) => act(() => result.current[0]({ name })) }
}

test("What is done again after its answer was lost goes under the same key", async () => {
  const { keys, renames } = renamer(["lost", "done"])

  const lost = await renames("Desk")
  const done = await renames("Desk")

  expect(lost.error).toBe("The server can't be reached. Try again.")
  expect(done.error).toBeUndefined()
  expect(keys[0]).toBe(keys[1])
})

test("Another input gets another key, and so does the next act", async () => {
  const { keys, renames } = renamer(["lost", "done", "done"])

  await renames("Desk")
  await renames("Front desk")
  await renames("Front desk")

  expect(new Set(keys).size).toBe(3)
})

test("A refusal is the server's sentence, and names its field", async () => {
  const { renames } = renamer(["refused"])

  const outcome = await renames("Desk")

  expect(outcome).toEqual({ error: "A name is too long.", field: "name" })
})
