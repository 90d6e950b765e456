import type { TypedDocumentNode } from "@apollo/client"
import { CombinedGraphQLErrors } from "@apollo/client/errors"
import { useMutation } from "@apollo/client/react"
import { useRef } from "react"
import type { ApolloCache } from "@apollo/client"
import { clientKey } from "./clientKey"
import { SignedOut } from "./session"

/** What became of an act: what the server answered, or why it was not done. */
export interface Outcome<Payload> {
  payload?: Payload
  /** Why it was not done: a sentence for the person. */
  error?: string
  /** Which part of the input the error is about, such as `name`. */
  field?: string | undefined
}

export interface ActOptions<Data> {
  /** What the cache has to know besides what the answer shows. */
  update?: (cache: ApolloCache, data: Data) => void
  /** Lists to ask for again, by the names of their queries. */
  refetch?: string[]
  /** Doing it again is always an act of its own, because doing it twice is no different from doing it once. */
  isRepeatable?: boolean
}

interface Refusable {
  userErrors: readonly { message: string; field: readonly string[] }[]
}

/**
 * A mutation as something that a person does. If its answer is lost and they do the same again, it goes under the same
 * client key, so that it is done once (E36); a changed input, or the next act after one that succeeded, gets another.
 */
export function useAct<Data, Input extends { clientKey: string }, Payload extends Refusable>(
  document: TypedDocumentNode<Data, { input: Input }>,
  payloadOf: (data: Data) => Payload,
  { update, refetch, isRepeatable }: ActOptions<Data> = {},
) {
  const [mutate, { loading }] = useMutation<Data, { input: Input }>(document, {
    ...(update && { update: (cache, { data }) => data && update(cache, data as Data) }),
    ...(refetch && { refetchQueries: refetch }),
  })
  const last = useRef({ input: "", clientKey: "" })
  const act = async (input: Omit<Input, "clientKey">): Promise<Outcome<Payload>> => {
    const text = JSON.stringify(input)
    if (isRepeatable || last.current.input !== text) last.current = { input: text, clientKey: clientKey() }
    try {
      const { data } = await mutate({ variables: { input: { ...input, clientKey: last.current.clientKey } as Input } })
      if (!data) return { error: sentence(undefined) }
      const payload = payloadOf(data as Data)
      const refusal = payload.userErrors[0]
      if (refusal) return { error: refusal.message, field: refusal.field.at(-1) }
      last.current = { input: "", clientKey: "" }
      return { payload }
    } catch (error) {
      return { error: sentence(error) }
    }
  }
  return [act, loading] as const
}

/** What went wrong, for a person. */
export function sentence(error: unknown): string {
  if (CombinedGraphQLErrors.is(error)) return error.errors[0]?.message ?? "Something went wrong. Try again."
  if (error instanceof SignedOut) return "You are signed out."
  return "The server can't be reached. Try again."
}
