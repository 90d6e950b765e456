import { ApolloClient, ApolloLink, gql, InMemoryCache } from "@apollo/client"
import { Observable } from "rxjs"
import { expect, test } from "vitest"
import { Freshness } from "./freshness"

/** A client whose server answers when it is told to, and the names of what it was asked. */
function slow() {
  const asked: { name: string | undefined; ids: unknown; answer: () => void }[] = []
  const server = new ApolloLink(
    ({ operationName, variables }) =>
      new Observable<ApolloLink.Result>((observer) => {
        asked.push({
          name: operationName,
          ids: variables.ids,
          answer: () => {
            observer.next({ data: { one: 1, nodes: [] } })
            observer.complete()
          },
        })
      }),
  )
  const freshness = new Freshness()
  const client = new ApolloClient({ link: ApolloLink.from([freshness.link, server]), cache: new InMemoryCache() })
  freshness.askBy(client)
  return {
    freshness,
    asked,
    asks: (name: string) => void client.query({ query: gql(`query ${name} { one }`), fetchPolicy: "network-only" }),
    does: (name: string) => void client.mutate({ mutation: gql(`mutation ${name} { one }`) }),
  }
}

test("S38 what an event changed is asked for again behind each answer from before, whatever else is on its way", async () => {
  const { freshness, asked, asks, does } = slow()
  asks("Early")
  asks("Long")
  await expect.poll(() => asked.length).toBe(2)

  freshness.changed("group")
  asks("Later")
  does("Act")
  await expect.poll(() => asked.length).toBe(4)
  const [early, long, later, act] = asked
  for (const question of [later, act, early]) question?.answer()
  await expect.poll(() => asked.length).toBe(5)
  asked[4]?.answer()
  long?.answer()
  await expect.poll(() => asked.length).toBe(6)

  expect(asked.slice(4).map(({ name, ids }) => ({ name, ids }))).toEqual([
    { name: "Refresh", ids: ["group"] },
    { name: "Refresh", ids: ["group"] },
  ])
})
