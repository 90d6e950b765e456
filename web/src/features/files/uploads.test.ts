import type { ApolloClient } from "@apollo/client"
import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { Session } from "../../graphql/session"
import { Uploads } from "./uploads"

/** The uploads that have begun, as the library sees them. */
const begun: { uploadUrl: string; onSuccess: () => void; onError: (error: Error) => void }[] = []

vi.mock("tus-js-client", () => ({
  Upload: class {
    constructor(
      _: File,
      readonly options: (typeof begun)[number],
    ) {}
    start() {
      begun.push(this.options)
    }
    abort() {
      return Promise.resolve()
    }
  },
}))

let announced: { clientKey: string; name: string }[]
let announces: () => void
let uploads: Uploads

beforeEach(() => {
  begun.length = 0
  announced = []
  announces = () => undefined
  const client = {
    query: () => Promise.resolve({ data: { viewer: { clinic: { fileSizeLimit: 10 } } } }),
    mutate: ({ variables: { input } }: { variables: { input: (typeof announced)[number] } }) => {
      announced.push(input)
      announces()
      const file = { id: input.name, state: "UPLOADING", refusal: null, upload: { url: `/files/${input.name}` } }
      return Promise.resolve({ data: { createUpload: { file, userErrors: [] } } })
    },
  }
  const session = new Session(new URL("https://chat.example.org/graphql"), () => "token")
  uploads = new Uploads({ client: client as unknown as ApolloClient, session })
})

afterEach(() => uploads.close())

const file = (name: string, bytes = 5) => new File(["x".repeat(bytes)], name, { type: "text/plain" })
const states = () => uploads.of("chat").files.map(({ state }) => state)

test("what is empty or too large is refused before the server hears of it", async () => {
  uploads.add("chat", [file("empty.txt", 0), file("large.txt", 11)])

  await vi.waitFor(() => expect(states()).toEqual(["refused", "refused"]))
  expect(uploads.of("chat").files.map(({ reason }) => reason)).toEqual([
    "The file is empty.",
    "The file is too large: 10 bytes at most.",
  ])
  expect(announced).toEqual([])
})

test("two files bring their bytes at a time, and a message has ten at most", async () => {
  uploads.add(
    "chat",
    Array.from({ length: 12 }, (_, i) => file(`${i}.txt`)),
  )

  await vi.waitFor(() => expect(begun).toHaveLength(2))
  expect(announced).toHaveLength(10)
  expect(uploads.of("chat").note).toBe("A message has at most 10 files: 2 were left out.")
  begun[0]?.onSuccess()

  await vi.waitFor(() => expect(begun).toHaveLength(3))
  expect(uploads.take("chat")).toEqual([{ id: "0.txt", name: "0.txt" }])
  expect(states()).toHaveLength(9)
})

test("a file whose announcement is lost is announced again under the same key", async () => {
  announces = () => {
    throw new TypeError("Failed to fetch")
  }
  uploads.add("chat", [file("one.txt")])
  await vi.waitFor(() => expect(states()).toEqual(["interrupted"]))
  announces = () => undefined

  uploads.retry("chat", uploads.of("chat").files[0]?.key ?? "")

  await vi.waitFor(() => expect(begun).toHaveLength(1))
  expect(announced).toHaveLength(2)
  expect(announced[0]?.clientKey).toBe(announced[1]?.clientKey)
})

test("bytes that do not get through are sent again to the same address", async () => {
  uploads.add("chat", [file("one.txt")])
  await vi.waitFor(() => expect(begun).toHaveLength(1))

  begun[0]?.onError(new Error("the network is gone"))
  await vi.waitFor(() => expect(states()).toEqual(["interrupted"]))
  window.dispatchEvent(new Event("online"))

  await vi.waitFor(() => expect(begun).toHaveLength(2))
  expect(begun[1]?.uploadUrl).toBe("https://chat.example.org/files/one.txt")
  expect(announced).toHaveLength(1)
})
