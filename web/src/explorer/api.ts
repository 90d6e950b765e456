import type { Fetcher, FetcherParams, Observable } from "@graphiql/toolkit"
import { type ExecutionResult, getOperationAST, GraphQLError, type OperationDefinitionNode, parse } from "graphql"
import { type Client, createClient } from "graphql-ws"
import { type Session, SignedOut } from "../graphql/session"

/** What a stream has brought so far. Only the newest are shown. */
const shown = 50

type Answer = ExecutionResult<Record<string, unknown>>
type Variables = Record<string, unknown>

/** Api asks the server as the person of a session: queries and mutations by POST, subscriptions over a WebSocket. */
export class Api {
  readonly #session: Session
  readonly #socket: Client
  readonly #listeners = new Set<(variables: Variables) => void>()

  constructor(session: Session) {
    this.#session = session
    const url = new URL(session.endpoint)
    url.protocol = url.protocol.replace("http", "ws")
    this.#socket = createClient({
      url: url.href,
      connectionParams: async () => ({ Authorization: `Bearer ${await session.token()}` }),
      keepAlive: 12_000,
      shouldRetry: (reason) => !(reason instanceof SignedOut),
      on: {
        closed: (event) => {
          if (event instanceof CloseEvent && event.code === 4403) session.renew()
        },
      },
    })
  }

  /** Ends what runs. */
  close() {
    void this.#socket.dispose()
  }

  /** Asks for something that must be there. Throws what went wrong, in a sentence. */
  async ask<Data>(query: string, variables?: Variables): Promise<Data> {
    const { data, errors } = await this.#post({ query, variables })
    if (errors?.[0] || !data) throw new Error(errors?.[0]?.message ?? "The server gave no answer.")
    return data as Data
  }

  /** Tells of each mutation that was answered, until what it returns is called. */
  onMutation(listener: (variables: Variables) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Runs what stands in the editor. */
  readonly fetcher: Fetcher = (asked) => {
    const operation = chosen(asked)
    const params = { ...asked, operationName: operation?.name?.value ?? asked.operationName }
    if (operation?.operation === "subscription") return this.#follow(params, operation)
    return this.#run(params, operation)
  }

  async #run(params: FetcherParams, operation: OperationDefinitionNode | undefined): Promise<Answer> {
    try {
      const answer = await this.#post(params)
      if (operation?.operation === "mutation" && answer.data) {
        for (const listener of this.#listeners) listener(variablesOf(params))
      }
      return answer
    } catch (reason) {
      return failure(reason)
    }
  }

  async #post({ query, operationName, variables }: FetcherParams): Promise<Answer> {
    const response = await this.#session.fetch(this.#session.endpoint, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ query, operationName, variables: variables as unknown }),
    })
    if (!response.headers.get("Content-Type")?.includes("json")) {
      throw new Error(`The server answered ${response.status} ${response.statusText}`)
    }
    return (await response.json()) as Answer
  }

  /**
   * Follows a subscription, and shows what came, the newest first; of signs of life that nothing came between, the last.
   * After a break it goes on behind the last event that came, where the operation lets it say so by `$after`.
   */
  #follow({ query, operationName, ...params }: FetcherParams, operation: OperationDefinitionNode): Stream {
    const resumes = operation.variableDefinitions?.some(({ variable }) => variable.name.value === "after")
    const variables = { ...variablesOf(params) }
    let { after } = variables
    if (resumes) Object.defineProperty(variables, "after", { enumerable: true, get: () => after })
    const stream = {
      subscribe: (sink: Sink) => {
        const came: Answer[] = []
        const stop = this.#socket.subscribe<Record<string, unknown>>(
          { query, operationName, variables },
          {
            next: (answer) => {
              const event = eventOf(answer)
              after = event.cursor ?? after
              const isLife = event.__typename === "Heartbeat"
              came.splice(0, isLife && came[0] && eventOf(came[0]).__typename === "Heartbeat" ? 1 : 0, answer as Answer)
              came.splice(shown)
              sink.next({ newestFirst: came } as Answer)
            },
            error: (reason) => {
              sink.next({ ...failure(reason), ...(came.length > 0 && { newestFirst: came }) })
              sink.complete()
            },
            complete: () => sink.complete(),
          },
        )
        return { unsubscribe: stop }
      },
    }
    return stream as Stream
  }
}

type Stream = Observable<Answer>

/** Where GraphiQL takes what comes. */
interface Sink {
  next: (answer: Answer) => void
  error: (reason: unknown) => void
  complete: () => void
}

/** The operation that is meant. Right after a change of tabs the name may still be one of the tab before. */
function chosen({ query, operationName }: FetcherParams): OperationDefinitionNode | undefined {
  try {
    const document = parse(query)
    return getOperationAST(document, operationName) ?? getOperationAST(document) ?? undefined
  } catch {
    return undefined // the server says what is wrong with it
  }
}

function variablesOf(params: Pick<FetcherParams, "variables">): Variables {
  return (params.variables ?? {}) as Variables
}

/** What the one field of a subscription holds. */
function eventOf(answer: { data?: Record<string, unknown> | null }): { __typename?: unknown; cursor?: unknown } {
  return (Object.values(answer.data ?? {})[0] ?? {}) as { __typename?: unknown; cursor?: unknown }
}

/** What went wrong, in the form of an answer. */
function failure(reason: unknown): Answer {
  if (Array.isArray(reason)) return { errors: reason as GraphQLError[] }
  return { errors: [new GraphQLError(sentence(reason))] }
}

/** What went wrong, for a person. */
export function sentence(reason: unknown): string {
  if (reason instanceof SignedOut && reason.cause instanceof Error) return reason.cause.message
  if (reason instanceof CloseEvent) return `The connection ended: ${reason.code} ${reason.reason}`.trim()
  if (reason instanceof TypeError) return "The server cannot be reached."
  if (reason instanceof Error) return reason.message
  return "The connection was lost."
}
