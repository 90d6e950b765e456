import { ApolloClient, ApolloLink, HttpLink } from "@apollo/client"
import { RetryLink } from "@apollo/client/link/retry"
import { ChatCache } from "./cache"
import type { Freshness } from "./freshness"
import type { Session } from "./session"

/**
 * A client of the API. Whatever does not reach the server is tried again: queries change nothing, and mutations
 * carry a client key under which they are done once (E36).
 */
export function newClient(session: Session, freshness: Freshness): ApolloClient {
  const patient = new RetryLink({
    delay: { initial: 300, max: 5_000, jitter: true },
    attempts: { max: 8, retryIf: (error: unknown) => isUnreachable(error) || isBusy(error) },
  })
  const http = new HttpLink({
    uri: session.endpoint.href,
    fetch: (input, init) => {
      const signals = [init?.signal, AbortSignal.timeout(patience)].filter((signal) => signal instanceof AbortSignal)
      return session.fetch(input, { ...init, signal: AbortSignal.any(signals) })
    },
  })
  const client = new ApolloClient({
    link: ApolloLink.from([freshness.link, patient, http]),
    cache: new ChatCache(),
    devtools: { enabled: false },
    defaultOptions: { watchQuery: { fetchPolicy: "cache-and-network", nextFetchPolicy: "cache-first" } },
  })
  freshness.askBy(client)
  return client
}

/** How long an answer may take, in milliseconds; the server gives up after half of it. Behind that a connection is dead. */
const patience = 30_000

/** There is no network, or nobody who answers. */
function isUnreachable(error: unknown) {
  return error instanceof TypeError || (error instanceof DOMException && error.name === "TimeoutError")
}

/** The server restarts, or has too much to do: it is there again in a moment. */
function isBusy(error: unknown) {
  return (
    typeof error === "object" &&
    error !== null &&
    "statusCode" in error &&
    Number(error.statusCode) >= 502 &&
    Number(error.statusCode) <= 504
  )
}
