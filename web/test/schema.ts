// What of a change of the schema a client of the one that was published before can notice.
import {
  buildSchema,
  type ConstDirectiveNode,
  DangerousChangeType,
  type DirectiveNode,
  findBreakingChanges,
  findDangerousChanges,
  type GraphQLArgument,
  type GraphQLEnumValue,
  type GraphQLField,
  type GraphQLInputField,
  type GraphQLSchema,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
  isRequiredArgument,
  isRequiredInputField,
  Kind,
  parse,
  print,
  visit,
  type DocumentNode,
  type TypeDefinitionNode,
} from "graphql"

// A deprecation names the day from which on what it is about may be gone.
const day = /\b\d{4}-\d{2}-\d{2}\b/

// compare says in sentences what would break clients, and what could surprise them. What was deprecated until a day before
// today is not missed. Enums may get values: clients must expect that.
export function compare(
  published: string,
  current: string,
  today: string,
): { breaking: string[]; dangerous: string[] } {
  const before = buildSchema(withoutExpired(published, today), { assumeValid: true })
  const after = buildSchema(current)
  return {
    breaking: [
      ...findBreakingChanges(before, after).map((change) => change.description),
      ...newlyRequired(before, after),
      ...narrowed(before, after),
    ],
    dangerous: findDangerousChanges(before, after)
      .filter((change) => change.type !== DangerousChangeType.VALUE_ADDED_TO_ENUM)
      .map((change) => change.description),
  }
}

// undated are the deprecations of a schema that do not name their day.
export function undated(schema: string): string[] {
  const found: string[] = []
  visit(parse(schema), {
    Directive: (node) => {
      if (node.name.value === "deprecated" && !day.test(reasonOf(node))) found.push(print(node))
    },
  })
  return found
}

function reasonOf(deprecated: DirectiveNode): string {
  const reason = deprecated.arguments?.find((argument) => argument.name.value === "reason")?.value
  return reason?.kind === Kind.STRING ? reason.value : ""
}

// withoutExpired leaves out what may be gone by today, and the types that nothing else leads to.
function withoutExpired(schema: string, today: string): string {
  const drop = (node: { directives?: readonly ConstDirectiveNode[] }) => {
    const deprecated = node.directives?.find((directive) => directive.name.value === "deprecated")
    const until = deprecated && day.exec(reasonOf(deprecated))?.[0]
    return until && until <= today ? null : undefined
  }
  const whole = parse(schema)
  const rest = visit(whole, { FieldDefinition: drop, InputValueDefinition: drop, EnumValueDefinition: drop })
  const before = reachable(whole)
  const now = reachable(rest)
  return print({
    ...rest,
    definitions: rest.definitions.filter(
      (node) => !("name" in node && node.name && before.has(node.name.value) && !now.has(node.name.value)),
    ),
  })
}

// reachable are the names of the types that operations can lead to.
function reachable(schema: DocumentNode): Set<string> {
  const types = schema.definitions.filter(
    (node): node is TypeDefinitionNode => "name" in node && node.kind !== Kind.DIRECTIVE_DEFINITION,
  )
  const reached = new Set(["Query", "Mutation", "Subscription"])
  for (let size = 0; size !== reached.size;) {
    size = reached.size
    for (const type of types) {
      const implemented = "interfaces" in type ? (type.interfaces ?? []) : []
      if (!reached.has(type.name.value) && !implemented.some((node) => reached.has(node.name.value))) continue
      reached.add(type.name.value)
      visit(type, { NamedType: (node) => void reached.add(node.name.value) })
    }
  }
  return reached
}

// newlyRequired are what could be left out: graphql-js does not mind when a default goes.
function newlyRequired(before: GraphQLSchema, after: GraphQLSchema): string[] {
  const inputs = (schema: GraphQLSchema) => {
    const found = new Map<string, boolean>()
    const args = (of: string, some: readonly GraphQLArgument[]) => {
      for (const argument of some) found.set(`${of}(${argument.name}:)`, isRequiredArgument(argument))
    }
    for (const type of Object.values(schema.getTypeMap())) {
      if (isObjectType(type) || isInterfaceType(type)) {
        for (const field of Object.values(type.getFields())) args(`${type.name}.${field.name}`, field.args)
      } else if (isInputObjectType(type)) {
        for (const field of Object.values<GraphQLInputField>(type.getFields()))
          found.set(`${type.name}.${field.name}`, isRequiredInputField(field))
      }
    }
    for (const directive of schema.getDirectives()) args(`@${directive.name}`, directive.args)
    return found
  }
  const required = inputs(after)
  return [...inputs(before)]
    .filter(([name, was]) => !was && required.get(name))
    .map(([name]) => `${name} is required now.`)
}

type Member = Pick<GraphQLField<unknown, unknown> | GraphQLInputField | GraphQLEnumValue, "astNode">

// narrowed are fields and values that are for fewer than before: what their directives grant may only grow. A directive
// that was not there grants nothing that could be taken away.
function narrowed(before: GraphQLSchema, after: GraphQLSchema): string[] {
  const found: string[] = []
  const members = (schema: GraphQLSchema, name: string): Record<string, Member> => {
    const type = schema.getType(name)
    if (isObjectType(type) || isInterfaceType(type) || isInputObjectType(type)) return type.getFields()
    return isEnumType(type) ? Object.fromEntries(type.getValues().map((value) => [value.name, value])) : {}
  }
  const known = new Set(before.getDirectives().map((directive) => directive.name))
  for (const type of Object.keys(before.getTypeMap())) {
    const now = members(after, type)
    for (const [name, member] of Object.entries(members(before, type))) {
      const applied =
        now[name]?.astNode?.directives?.filter((directive) => grants(directive) && known.has(directive.name.value)) ??
        []
      for (const directive of applied) {
        const was = member.astNode?.directives?.find((other) => other.name.value === directive.name.value)
        const granted = granting(directive)
        const lost = was ? [...granting(was)].filter((one) => !granted.has(one)) : ["everybody"]
        if (lost.length > 0)
          found.push(`${type}.${name} is not there any more by @${directive.name.value} for: ${lost.join(", ")}.`)
      }
    }
  }
  return found
}

// grants tells whether a directive says for whom something is. Those of GraphQL itself do not.
function grants(directive: ConstDirectiveNode): boolean {
  return !["deprecated", "specifiedBy", "oneOf"].includes(directive.name.value)
}

// granting is what the arguments of a directive name: elements of lists, and switches that are on.
function granting(directive: ConstDirectiveNode): Set<string> {
  const granted = new Set<string>()
  for (const argument of directive.arguments ?? []) {
    for (const value of argument.value.kind === Kind.LIST ? argument.value.values : [argument.value]) {
      if (value.kind !== Kind.BOOLEAN) granted.add(`${argument.name.value} ${print(value)}`)
      else if (value.value) granted.add(argument.name.value)
    }
  }
  return granted
}
