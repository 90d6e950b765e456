import type { ApolloClient } from "@apollo/client"
import { CombinedGraphQLErrors, ServerError } from "@apollo/client/errors"
import { clientKey } from "../../graphql/clientKey"
import { append } from "../../graphql/events"
import { graphql } from "../../graphql/generated"
import { isSignedOut } from "../../graphql/session"

const SendMessage = graphql(`
  mutation SendMessage($input: SendMessageInput!) {
    sendMessage(input: $input) {
      message {
        id
        seq
        clientKey
        conversation {
          id
          ...LiveConversation
        }
        ...MessageLine
      }
      userErrors {
        code
        message
      }
    }
  }
`)

/** A message on its way. */
export interface Outgoing {
  /** Under this key the server takes it once, however often it is sent (E36). */
  clientKey: string
  conversationId: string
  body: string
  files: { id: string; name: string }[]
  writtenAt: string
  state: "sending" | "failed"
  /** Why it failed, for a person. */
  reason?: string
}

/**
 * Outbox brings what a person writes to the server: in the order in which it was written, one after the other in each
 * conversation, tried again as long as there is no answer. What the server refuses stays until the person tries again
 * or discards it; what comes behind it goes on.
 */
export class Outbox {
  readonly #client: ApolloClient
  readonly #onDiscard: (files: Outgoing["files"]) => void
  readonly #listeners = new Set<() => void>()
  /** What is on its way. Each change makes a new array, of the conversation it is in. */
  readonly #queues = new Map<string, readonly Outgoing[]>()
  readonly #busy = new Set<string>()
  #hurry: (() => void)[] = []
  #closed = false

  constructor(
    client: ApolloClient,
    /** Hears of files that nobody will send any more. */
    onDiscard: (files: Outgoing["files"]) => void = () => undefined,
  ) {
    this.#client = client
    this.#onDiscard = onDiscard
    window.addEventListener("online", this.hurry)
    window.addEventListener("beforeunload", this.#warn)
  }

  close() {
    this.#closed = true
    this.hurry()
    window.removeEventListener("online", this.hurry)
    window.removeEventListener("beforeunload", this.#warn)
  }

  readonly subscribe = (listener: () => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** What is on its way to a conversation, in its order. */
  of(conversationId: string): readonly Outgoing[] {
    return this.#queues.get(conversationId) ?? none
  }

  /** Sends a text, files, or both. */
  send(conversationId: string, body: string, files: { id: string; name: string }[] = []) {
    const message: Outgoing = {
      clientKey: clientKey(),
      conversationId,
      body,
      files,
      writtenAt: new Date().toISOString(),
      state: "sending",
    }
    this.#set(conversationId, [...this.of(conversationId), message])
    void this.#work(conversationId)
  }

  /** Sends one again that failed: the same message, which the server takes once. */
  retry(message: Outgoing) {
    this.#replace({ ...message, state: "sending", reason: undefined })
    void this.#work(message.conversationId)
  }

  /** Gives one up that failed. */
  discard(message: Outgoing) {
    this.settle(message.conversationId, message.clientKey)
    if (message.files.length) this.#onDiscard(message.files)
  }

  /** Gives up all that is on its way to a conversation: it is not there any more. */
  drop(conversationId: string) {
    if (this.#queues.has(conversationId)) this.#set(conversationId, [])
  }

  /** The server has taken it, as its answer or the stream says. */
  settle(conversationId: string, clientKey: string) {
    const queue = this.of(conversationId)
    if (queue.some((message) => message.clientKey === clientKey)) {
      this.#set(
        conversationId,
        queue.filter((message) => message.clientKey !== clientKey),
      )
    }
  }

  /** Tries again at once what waits for the network. */
  readonly hurry = () => {
    const waiting = this.#hurry
    this.#hurry = []
    for (const go of waiting) go()
  }

  async #work(conversationId: string) {
    if (this.#busy.has(conversationId)) return
    this.#busy.add(conversationId)
    for (let failures = 0; !this.#closed;) {
      const next = this.of(conversationId).find((message) => message.state === "sending")
      if (!next) break
      if (await this.#send(next)) failures = 0
      else await this.#pause(Math.min(10_000, 500 * 2 ** failures++))
    }
    this.#busy.delete(conversationId)
  }

  /** Sends a message, and tells whether that came to an end, good or bad. */
  async #send(message: Outgoing) {
    const { clientKey, conversationId, body, files } = message
    try {
      const { data } = await this.#client.mutate({
        mutation: SendMessage,
        variables: { input: { clientKey, conversationId, body, fileIds: files.map((file) => file.id) } },
      })
      const sent = data?.sendMessage.message
      if (sent?.conversation) append(this.#client.cache, sent.conversation, sent)
      if (sent) this.settle(conversationId, clientKey)
      else this.#fail(message, data?.sendMessage.userErrors[0]?.message)
      return true
    } catch (reason) {
      if (!isAnswer(reason)) return false
      this.#fail(message, CombinedGraphQLErrors.is(reason) ? reason.errors[0]?.message : undefined)
      return true
    }
  }

  #fail(message: Outgoing, reason = "It could not be sent.") {
    if (this.of(message.conversationId).some((other) => other.clientKey === message.clientKey)) {
      this.#replace({ ...message, state: "failed", reason })
    }
  }

  #pause(time: number) {
    return new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, time * (0.5 + Math.random() / 2))
      this.#hurry.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  #replace(message: Outgoing) {
    const queue = this.of(message.conversationId)
    this.#set(
      message.conversationId,
      queue.map((other) => (other.clientKey === message.clientKey ? message : other)),
    )
  }

  #set(conversationId: string, queue: readonly Outgoing[]) {
    if (queue.length) this.#queues.set(conversationId, queue)
    else this.#queues.delete(conversationId)
    for (const listener of this.#listeners) listener()
  }

  readonly #warn = (event: BeforeUnloadEvent) => {
    if (this.#queues.size > 0) event.preventDefault()
  }
}

const none: readonly Outgoing[] = []

/** What the server says when it would take the message a little later. */
const passing = new Set(["RESTARTING", "UNAVAILABLE", "BUSY", "RATE_LIMITED"])

/**
 * Whether the server has spoken: everything else is the network, a server that restarts or has been asked too much, or
 * a person who is signed out for the moment, and is tried again.
 */
function isAnswer(reason: unknown) {
  if (CombinedGraphQLErrors.is(reason)) {
    return !reason.errors.some(({ extensions }) => passing.has(String(extensions?.code)))
  }
  return (
    ServerError.is(reason) &&
    reason.statusCode >= 400 &&
    reason.statusCode < 500 &&
    reason.statusCode !== 429 &&
    !isSignedOut(reason)
  )
}
