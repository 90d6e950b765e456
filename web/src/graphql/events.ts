import type { ApolloCache, ApolloClient, Reference } from "@apollo/client"
import { print } from "graphql"
import { type Client, createClient } from "graphql-ws"
import { ChatCache, type Connection, type Edge } from "./cache"
import { graphql } from "./generated"
import type { EventsSubscription } from "./generated/graphql"
import { type Session, SignedOut } from "./session"

// What an event shows is written to the cache with it: everything that an open chat and its row in the lists need.
const Events = graphql(`
  subscription Events($after: Cursor) {
    events(after: $after) {
      __typename
      cursor
      ... on MessageAdded {
        conversation {
          id
          ...LiveConversation
        }
        message {
          id
          seq
          kind
          clientKey
          text
          sender {
            id
            name
            isViewer
          }
          ...MessageLine
        }
        notify {
          popup
          sound
        }
      }
      ... on MessageChanged {
        conversation {
          id
          ...LiveConversation
        }
        message {
          id
          ...MessageLine
        }
      }
      ... on FileChanged {
        file {
          ...FileCard
        }
      }
      ... on ConversationAdded {
        conversation {
          id
          ...LiveConversation
        }
      }
      ... on ConversationLeft {
        conversation {
          id
          ...LiveConversation
        }
        message {
          id
          seq
          ...MessageLine
        }
      }
      ... on ConversationChanged {
        conversation {
          id
          ...LiveConversation
        }
      }
      ... on GroupDeleted {
        conversationId
      }
      ... on ContactAdded {
        contact {
          user {
            id
            name
            roleLabel
          }
        }
      }
      ... on ContactChanged {
        contact {
          user {
            id
            name
            roleLabel
          }
        }
      }
      ... on SessionExpiring {
        expiresAt
      }
    }
  }
`)

/** One event of the viewer's stream. */
export type Event = EventsSubscription["events"]

/** How the stream stands: it is coming up for the first time, it runs, it was cut and is tried again, or the person is signed out. */
export type Connectedness = "connecting" | "live" | "interrupted" | "signed out"

export interface StreamOptions {
  client: ApolloClient
  session: Session
  /** Hears of the events of one step when the cache has them, each once, in their order. */
  onEvents: (events: Event[]) => void
  /** The stream begins anew: whatever was read before may be out of date and has been dropped. */
  onReset: () => void
  onConnectedness: (now: Connectedness) => void
}

/** How long events are gathered before they are applied together, in milliseconds: a burst costs a few steps, not one each. */
const step = 30

/** Nothing was heard for so long, in milliseconds, though the server gives a sign of life every 15 seconds: the connection is dead. */
const silence = 40_000

/**
 * Stream follows everything that happens for the person, from a cursor on, as long as it is open. An event counts
 * when it was applied to the cache: only then its cursor is kept, and a connection that was lost goes on behind it, on
 * whatever server answers. So nothing is missed, and nothing is applied twice.
 */
export class Stream {
  readonly #options: StreamOptions
  readonly #socket: Client
  /** Behind what was applied. Without one the stream begins now, and what was missed is read again. */
  #cursor: string | undefined
  #pending: Event[] = []
  #flush: ReturnType<typeof setTimeout> | undefined
  #closed = false
  #cut: (() => void) | undefined
  #wake: (() => void) | undefined
  /** How many tries in a row came to nothing, fresh tokens were refused, and events could not be had. */
  #failures = 0
  #refused = 0
  #broken = 0
  #settled: ReturnType<typeof setTimeout> | undefined

  constructor(after: string, options: StreamOptions) {
    this.#cursor = after
    this.#options = options
    const url = new URL(options.session.endpoint)
    url.protocol = url.protocol.replace("http", "ws")
    this.#socket = createClient({
      url: url.href,
      connectionParams: async () => ({ Authorization: `Bearer ${await options.session.token()}` }),
      retryAttempts: 0, // the loop below does it, with the cursor of what was applied
      keepAlive: 12_000,
      connectionAckWaitTimeout: 10_000,
    })
    window.addEventListener("online", this.#hurry)
    window.addEventListener("offline", this.#lost)
    document.addEventListener("visibilitychange", this.#hurry)
    void this.#run()
  }

  close() {
    this.#closed = true
    window.removeEventListener("online", this.#hurry)
    window.removeEventListener("offline", this.#lost)
    document.removeEventListener("visibilitychange", this.#hurry)
    clearTimeout(this.#flush)
    this.#wake?.()
    this.#cut?.()
    void this.#socket.dispose()
  }

  /** Tries again now, if it waits to: the person is back, or the network is. */
  readonly #hurry = () => {
    if (document.visibilityState === "visible") this.#wake?.()
  }

  readonly #lost = () => this.#cut?.()

  async #run() {
    this.#options.onConnectedness("connecting")
    while (!this.#closed) {
      const outcome = await this.#follow()
      if (this.#closed) return
      this.#apply() // what came before the break counts
      // A fresh token that is refused as well is none.
      if (outcome === "renewed") this.#refused++
      const isSignedOut = outcome === "signed out" || this.#refused > 1
      this.#options.onConnectedness(isSignedOut ? "signed out" : "interrupted")
      await this.#pause(outcome)
    }
  }

  /** Waits before the next try: longer each time, at least half a minute when the person is signed out, and not at all for a fresh token. */
  #pause(outcome: Outcome) {
    const failures = this.#failures++
    if (outcome === "renewed" && this.#refused === 1) return undefined
    const most = outcome === "signed out" ? 30_000 : Math.min(15_000, 400 * 2 ** failures)
    return new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, most * (0.5 + Math.random() / 2))
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    }).finally(() => (this.#wake = undefined))
  }

  /** Follows the stream from the cursor until it breaks. */
  #follow() {
    const options = this.#options
    // Read each time it is sent: the library subscribes again by itself after some ends.
    const cursor = () => this.#cursor
    const after = {
      get after() {
        return cursor()
      },
    }
    return new Promise<Outcome>((resolve) => {
      let watchdog: ReturnType<typeof setTimeout> | undefined
      const end = (outcome: Outcome) => {
        clearTimeout(watchdog)
        clearTimeout(this.#settled)
        this.#settled = undefined
        this.#cut = undefined
        resolve(outcome)
        stop()
        this.#socket.terminate()
      }
      const alive = () => {
        clearTimeout(watchdog)
        watchdog = setTimeout(() => end("broken"), silence)
      }
      this.#cut = () => end("broken")
      alive()
      const stop = this.#socket.subscribe<EventsSubscription>(
        // The cache knows things by __typename, which it asks for in its own queries by itself.
        { query: print(options.client.cache.transformDocument(Events)), variables: after },
        {
          next: ({ data, errors }) => {
            alive()
            if (errors || !data) {
              const code = errors?.[0]?.extensions?.code
              // What always fails is passed over, and what came with it is read again.
              if (code === "CURSOR_INVALID" || ++this.#broken === 3) this.#cursor = undefined
              end("broken")
              return
            }
            this.#settle()
            this.#take(data.events)
          },
          error: (reason) => end(this.#outcome(reason)),
          complete: () => end("broken"),
        },
      )
    })
  }

  #outcome(reason: unknown): Outcome {
    if (reason instanceof SignedOut) return "signed out"
    if (reason instanceof CloseEvent && reason.code === 4403) {
      this.#options.session.renew()
      return "renewed"
    }
    return "broken"
  }

  /** Takes the connection for a good one once it has lasted for a while. */
  #settle() {
    this.#refused = 0
    this.#settled ??= setTimeout(() => {
      this.#settled = undefined
      this.#failures = 0
      this.#broken = 0
    }, 3_000)
  }

  #take(event: Event) {
    if (this.#pending.length === 0) this.#options.onConnectedness("live")
    this.#pending.push(event)
    // A timer, because frames stand still in a tab that nobody looks at.
    this.#flush ??= setTimeout(() => this.#apply(), step)
  }

  /** Applies what has come to the cache, in one step, and moves on behind it. */
  #apply() {
    clearTimeout(this.#flush)
    this.#flush = undefined
    const events = this.#pending
    const last = events.at(-1)
    if (!last || this.#closed) return
    this.#pending = []
    let isWhole = this.#cursor !== undefined && events.every((event) => event.__typename !== "StreamReset")
    this.#options.client.cache.batch({
      update: (cache) => {
        for (const event of events) {
          try {
            apply(cache, event)
          } catch (reason) {
            console.error("an event could not be applied", reason)
            isWhole = false
          }
        }
        cache.evict({ id: "ROOT_SUBSCRIPTION" })
      },
    })
    this.#cursor = last.cursor
    if (!isWhole) this.#startAnew()
    this.#options.onEvents(events)
  }

  /** Drops what is known, because something of it may be missing: the next reading of it brings everything. */
  #startAnew() {
    const { cache } = this.#options.client
    for (const id of Object.keys(cache.extract() as object)) {
      if (isConversation(id)) cache.evict({ id, fieldName: "messages", broadcast: false })
    }
    this.#options.onReset()
  }
}

type Outcome = "broken" | "renewed" | "signed out"

const isConversation = (id: string) => /^(Direct|Group)Conversation:/.test(id)

/** Writes what an event shows into the cache, and puts new things where lists look for them. */
export function apply(cache: ApolloCache, event: Event) {
  cache.write({ dataId: "ROOT_SUBSCRIPTION", query: Events, result: { events: event } })
  switch (event.__typename) {
    case "MessageAdded":
    case "ConversationLeft":
      if (event.conversation) list(cache, event.conversation)
      if (event.conversation && event.message) append(cache, event.conversation, event.message)
      break
    case "ConversationAdded":
      // Whoever was in it before may see another part of it now.
      if (event.conversation) {
        cache.evict({ id: cache.identify(event.conversation), fieldName: "messages", broadcast: false })
        list(cache, event.conversation)
      }
      break
    case "ConversationChanged":
      if (event.conversation) list(cache, event.conversation)
      break
    case "GroupDeleted":
      forget(cache, event.conversationId)
      break
  }
}

/** Something in the cache. */
interface Entity {
  __typename?: string
  id: string
}

/** Puts a conversation into the lists that were read; each shows it if it belongs there. */
function list(cache: ApolloCache, conversation: Entity) {
  const node: Reference = { __ref: cache.identify(conversation as never) ?? "" }
  cache.modify<{ conversations: Connection }>({
    id: "Viewer:{}",
    broadcast: false,
    fields: {
      conversations: (existing) => {
        const connection = existing as Connection
        if (connection.edges.some((edge) => edge.node.__ref === node.__ref)) return connection
        return { ...connection, edges: [...connection.edges, { __typename: "ConversationEdge", node }] }
      },
    },
  })
}

/** Puts a line at the end of a transcript, if that was read to its end and does not have it yet. */
export function append(cache: ApolloCache, conversation: Entity, message: Entity & { seq: number }) {
  const node: Reference = { __ref: cache.identify({ __typename: "Message", id: message.id }) ?? "" }
  cache.modify<{ messages: Connection }>({
    id: cache.identify(conversation as never),
    broadcast: false,
    fields: {
      messages: (existing, { readField }) => {
        const connection = existing as Connection
        if (connection.pageInfo.hasNextPage) return connection
        if (connection.edges.some((edge) => edge.node.__ref === node.__ref)) return connection
        const edge: Edge = { __typename: "MessageEdge", node }
        let at = connection.edges.length
        while (at > 0 && Number(readField("seq", connection.edges[at - 1]?.node)) > message.seq) at--
        return { ...connection, edges: connection.edges.toSpliced(at, 0, edge) }
      },
    },
  })
}

/** Removes all there is of a conversation that was deleted, for good. */
export function forget(cache: ApolloCache, id: string) {
  if (cache instanceof ChatCache) cache.gone.add(id)
  for (const __typename of ["GroupConversation", "DirectConversation"]) {
    cache.evict({ id: cache.identify({ __typename, id }) ?? "", broadcast: false })
  }
}
