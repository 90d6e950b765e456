import { ApolloClient, ApolloLink, CombinedGraphQLErrors, InMemoryCache, Observable } from "@apollo/client"
import { ServerError } from "@apollo/client/errors"
import { afterEach, describe, expect, test, vi } from "vitest"
import { Outbox } from "./outbox"

/** A server that answers what a test says, and notes what it was sent. */
function server(...answers: (() => unknown)[]) {
  const sent: { body: string; clientKey: string }[] = []
  const link = new ApolloLink(
    (operation) =>
      new Observable((observer) => {
        sent.push(operation.variables.input as { body: string; clientKey: string })
        const answer = answers[Math.min(sent.length, answers.length) - 1]
        void Promise.resolve().then(() => {
          try {
            observer.next({ data: { sendMessage: answer?.() } } as never)
            observer.complete()
          } catch (reason) {
            observer.error(reason)
          }
        })
      }),
  )
  const outbox = new Outbox(new ApolloClient({ link, cache: new InMemoryCache() }))
  opened.push(outbox)
  return { outbox, sent }
}

const opened: Outbox[] = []
afterEach(() => {
  for (const outbox of opened.splice(0)) outbox.close()
})

const refused = (message: string) => () => ({
  __typename: "SendMessagePayload",
  message: null,
  userErrors: [{ __typename: "UserError", code: "INVALID", message }],
})

const offline = () => {
  throw new TypeError("Failed to fetch")
}

const taken = () => ({
  __typename: "SendMessagePayload",
  message: {
    __typename: "Message",
    id: "m1",
    seq: 1,
    cursor: "c1",
    kind: "TEXT",
    text: "one",
    sentAt: "2026-11-25T10:00:00Z",
    editedAt: null,
    recalledAt: null,
    clientKey: null,
    sender: null,
    files: [],
    conversation: null,
  },
  userErrors: [],
})

describe("the outbox", () => {
  test("S23 E36 sends what found no network again under its key, and what was written later behind it", async () => {
    const { outbox, sent } = server(offline, taken)

    outbox.send("c", "one")
    outbox.send("c", "two")
    await vi.waitFor(() => expect(sent).toHaveLength(1))
    outbox.hurry()
    await vi.waitFor(() => {
      outbox.hurry()
      expect(outbox.of("c")).toEqual([])
    })

    expect(sent.map(({ body }) => body)).toEqual(["one", "one", "two"])
    expect(sent[0]?.clientKey).toBe(sent[1]?.clientKey)
    expect(sent[1]?.clientKey).not.toBe(sent[2]?.clientKey)
  })

  test.each([
    [
      "in its answer",
      () => new CombinedGraphQLErrors({ errors: [{ message: "", extensions: { code: "RATE_LIMITED" } }] }),
    ],
    [
      "as its database is away",
      () => new CombinedGraphQLErrors({ errors: [{ message: "", extensions: { code: "UNAVAILABLE" } }] }),
    ],
    ["by its status", () => new ServerError("", { response: new Response("", { status: 429 }), bodyText: "" })],
  ])("sends again what the server would take a little later, as it says %s", async (_, tooMany) => {
    const { outbox, sent } = server(() => {
      throw tooMany()
    }, taken)

    outbox.send("c", "one")
    await vi.waitFor(() => {
      outbox.hurry()
      expect(outbox.of("c")).toEqual([])
    })

    expect(sent).toHaveLength(2)
    expect(sent[0]?.clientKey).toBe(sent[1]?.clientKey)
  })

  test("keeps what the server refuses, with its reason, until it is tried again or discarded", async () => {
    const { outbox, sent } = server(refused("It is too long."), refused("It is too long."), taken)

    outbox.send("c", "one")
    await vi.waitFor(() => expect(outbox.of("c")[0]).toMatchObject({ state: "failed", reason: "It is too long." }))

    const [failed] = outbox.of("c")
    if (failed) outbox.retry(failed)
    await vi.waitFor(() => expect(sent).toHaveLength(2))
    expect(sent[1]?.clientKey).toBe(sent[0]?.clientKey)

    await vi.waitFor(() => expect(outbox.of("c")[0]?.state).toBe("failed"))
    if (failed) outbox.discard(failed)
    expect(outbox.of("c")).toEqual([])
  })

  test("does not try again by itself what failed at the server", async () => {
    const { outbox, sent } = server(() => {
      throw new CombinedGraphQLErrors({
        errors: [{ message: "Something went wrong on our side.", extensions: { code: "INTERNAL" } }],
      })
    })

    outbox.send("c", "one")
    await vi.waitFor(() => expect(outbox.of("c")[0]?.reason).toBe("Something went wrong on our side."))

    expect(sent).toHaveLength(1)
  })

  test("is done with a message as soon as the stream has it", async () => {
    const { outbox } = server(offline)
    outbox.send("c", "one")
    const [message] = outbox.of("c")

    if (message) outbox.settle("c", message.clientKey)

    expect(outbox.of("c")).toEqual([])
  })
})
