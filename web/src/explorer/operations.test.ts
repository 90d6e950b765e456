// @vitest-environment node
import { readFileSync } from "node:fs"
import { buildSchema, getVariableValues, Kind, type OperationDefinitionNode, parse, validate } from "graphql"
import { describe, expect, test } from "vitest"
import { inside, type Known, theirs } from "./known"
import { tabs } from "./operations"

const schema = buildSchema(readFileSync(new URL("../../../schema.graphqls", import.meta.url), "utf8"))

const ann: Known = {
  name: "Ann Lee",
  roleLabel: "CSR",
  clinic: "Lakeside Clinic",
  contact: { id: "user_zoe", name: "Zoë “Z” Brown\n", piece: "brown" },
  colleagues: [
    { id: "user_bob", name: "Bob Okafor" },
    { id: "user_zoe", name: "Zoë Brown" },
  ],
  conversation: { id: "conversation_1", name: "with Bob Okafor" },
  unread: { id: "conversation_2", name: "Potluck // Friday 🥗", readCursor: "WyIw", lastMessageId: "message_9" },
  group: { id: "conversation_3", name: "Front desk", isOwn: true },
  newcomers: [{ id: "user_li", name: "李娜" }],
  removable: { id: "user_bob", name: "Bob Okafor" },
  leaving: { id: "conversation_2", name: "Potluck" },
  deleting: { id: "conversation_4", name: "Flu clinic", isOwn: true },
}

const newcomer: Known = { name: "New", roleLabel: "MA", clinic: "Lakeside Clinic", colleagues: [], newcomers: [] }

describe.each([
  ["somebody with much to see", ann],
  ["somebody with nothing yet", newcomer],
])("the tabs of %s", (_, known) => {
  test.each(tabs(known).map((tab) => [operations(tab.query)[0]?.name?.value, tab] as const))(
    "%s can be run with its variables",
    (_, tab) => {
      expect(validate(schema, parse(tab.query))).toEqual([])

      const variables = values(tab.variables)
      const asked = new Set<string>()
      for (const { variableDefinitions = [] } of operations(tab.query)) {
        for (const { variable } of variableDefinitions) asked.add(variable.name.value)
        expect(getVariableValues(schema, variableDefinitions, variables).errors).toBeUndefined()
      }
      expect(Object.keys(variables).filter((name) => !asked.has(name))).toEqual([])
    },
  )
})

test("each tab says what it shows, and starts with an operation that is safe to try", () => {
  for (const { query } of tabs(ann)) expect(query).toMatch(/^# .{20,}/)
  const first = new Map(
    tabs(ann).map(({ query }) => [operations(query)[0]?.name?.value, operations(query)[0]?.operation]),
  )
  for (const look of ["RemoveWhom", "LeaveWhichGroup", "DeleteWhichGroup"]) expect(first.get(look)).toBe("query")
})

test("a client key is never used twice", () => {
  const keys = [...tabs(ann), ...tabs(ann)].map((tab) => values(tab.variables).clientKey).filter(Boolean)
  expect(keys.length).toBeGreaterThan(10)
  expect(new Set(keys).size).toBe(keys.length)
  for (const key of keys) expect(key).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
})

test("what is asked to fill in the variables is in the schema", () => {
  for (const query of [theirs, inside]) expect(validate(schema, parse(query))).toEqual([])
})

function operations(query: string): OperationDefinitionNode[] {
  return parse(query).definitions.filter((one) => one.kind === Kind.OPERATION_DEFINITION)
}

/** Reads JSON with a comment at the end of lines. */
function values(variables: string): Record<string, unknown> {
  return JSON.parse(variables.replace(/(?<=[,{[\]"\w]) \/\/ .*$/gm, "") || "{}") as Record<string, unknown>
}
