// @vitest-environment node
import { readFileSync } from "node:fs"
import { describe, expect, test } from "vitest"
import { compare, undated } from "./schema"

const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8")
const today = new Date().toISOString().slice(0, 10)

describe("the schema", () => {
  const { breaking, dangerous } = compare(
    read("../../docs/schema/published.graphqls"),
    read("../../schema.graphqls"),
    today,
  )

  test("breaks no client of the published one", () => {
    if (dangerous.length > 0)
      console.info(["Clients could be surprised, so say it in CHANGELOG.md:", ...dangerous].join("\n  "))
    expect(breaking).toEqual([])
  })

  test("says of what is deprecated from which day on it may be gone", () => {
    expect(undated(read("../../schema.graphqls"))).toEqual([])
  })
})

const published = `
  directive @access(people: Boolean = false, scopes: [String!] = []) on FIELD_DEFINITION
  directive @loud on FIELD
  interface Named { name: String! }
  type Query { user(id: ID!, full: Boolean! = false): User @access(people: true, scopes: ["a", "b"]) all(limit: Int): [Named!]! kind: Kind }
  type User implements Named { name: String! age: Int }
  type Ward implements Named { name: String! }
  input Wanted { name: String! = "" size: Int }
  type Mutation { want(input: Wanted!): User old: Old @deprecated(reason: "Use want. Goes on 2026-03-01.") }
  type Old { done: Boolean! other: Older }
  type Older { done: Boolean! }
  enum Kind { ONE TWO }
`
// changes are what is done to it, the sentence that says what breaks, and the day if it matters.
const changes: Record<string, [from: string, to: string, breaks: string[], day?: string]> = {
  "nothing changes": ["age: Int", "age: Int", []],
  "a field is added": ["age: Int", "age: Int room: String", []],
  "an argument that may be left out is added": ["all(limit: Int)", "all(limit: Int, after: String)", []],
  "an enum gets a value": ["ONE TWO", "ONE TWO THREE", []],
  "a field is never null any more": ["age: Int", "age: Int!", []],
  "a field is removed": ["age: Int", "", ["User.age was removed."]],
  "a field has another type": ["age: Int", "age: String", ["User.age changed type from Int to String."]],
  "a field may be null": ["[Named!]!", "[Named!]", ["Query.all changed type from [Named!]! to [Named!]."]],
  "a type is removed": ["type Ward implements Named { name: String! }", "", ["Ward was removed."]],
  "a type has an interface no more": [
    "type User implements Named",
    "type User",
    ["User no longer implements interface Named."],
  ],
  "an enum loses a value": ["ONE TWO", "ONE", ["TWO was removed from enum type Kind."]],
  "an argument that must be there is added": [
    "all(limit: Int)",
    "all(limit: Int, of: ID!)",
    ["A required arg of on Query.all was added."],
  ],
  "an argument is removed": ["all(limit: Int)", "all", ["Query.all arg limit was removed."]],
  "an argument has no default any more": [
    "full: Boolean! = false",
    "full: Boolean!",
    ["Query.user(full:) is required now."],
  ],
  "an input has no default any more": ['name: String! = ""', "name: String!", ["Wanted.name is required now."]],
  "an input that must be there is added": [
    "size: Int }",
    "size: Int of: ID! }",
    ["A required field of on input type Wanted was added."],
  ],
  "an input must not be null any more": [
    "size: Int }",
    "size: Int! }",
    ["Wanted.size changed type from Int to Int!.", "Wanted.size is required now."],
  ],
  "a directive is removed": ["directive @loud on FIELD", "", ["loud was removed."]],
  "a field is for more": ['["a", "b"]', '["a", "b", "c"]', []],
  "a field is for all": ['@access(people: true, scopes: ["a", "b"])', "", []],
  "a field is for fewer scopes": [
    '["a", "b"]',
    '["b"]',
    ['Query.user is not there any more by @access for: scopes "a".'],
  ],
  "a field is not for people": [
    "people: true",
    "people: false",
    ["Query.user is not there any more by @access for: people."],
  ],
  "a field is not for all": [
    "kind: Kind",
    "kind: Kind @access(people: true)",
    ["Query.kind is not there any more by @access for: everybody."],
  ],
  "something deprecated goes too early": [
    /old: Old.*"\)/.exec(published)?.[0] ?? "",
    "",
    ["Mutation.old was removed."],
    "2026-02-28",
  ],
  "something deprecated goes on its day": [
    /old: Old[^]*type Older.*/.exec(published)?.[0] ?? "",
    "}",
    [],
    "2026-03-01",
  ],
}

describe("of a small schema", () => {
  for (const [title, [from, to, breaks, day = "2026-01-01"]] of Object.entries(changes)) {
    test(title, () => {
      expect(published).toContain(from)
      expect(compare(published, published.replace(from, to), day).breaking).toEqual(breaks)
    })
  }

  test("a default that changes is noted, a value of an enum is not", () => {
    const current = published.replace("= false):", "= true):").replace("ONE TWO", "ONE TWO THREE")
    expect(compare(published, current, today).dangerous).toEqual([
      "Query.user arg full has changed defaultValue from false to true.",
    ])
  })

  test("a deprecation without a day is found", () => {
    expect(undated('type Query { a: Int @deprecated b: Int @deprecated(reason: "On 2027-01-31.") }')).toEqual([
      "@deprecated",
    ])
  })
})
