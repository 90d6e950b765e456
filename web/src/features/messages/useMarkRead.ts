import { useMutation } from "@apollo/client/react"
import { useCallback, useRef } from "react"
import { graphql } from "../../graphql/generated"

const MarkRead = graphql(`
  mutation MarkRead($input: MarkReadInput!) {
    markRead(input: $input) {
      conversation {
        id
        ...LiveConversation
      }
      userErrors {
        code
        message
      }
    }
  }
`)

/** Moves the read position to a message the person has seen, forwards only, and not for each one while they scroll. */
export function useMarkRead() {
  const [markRead] = useMutation(MarkRead)
  const read = useRef({ seq: 0, timer: undefined as ReturnType<typeof setTimeout> | undefined })
  return useCallback(
    ({ id, seq }: { id: string; seq: number }) => {
      if (seq <= read.current.seq) return
      read.current.seq = seq
      clearTimeout(read.current.timer)
      read.current.timer = setTimeout(() => {
        // If it does not get through the message stays unread, and is marked when the chat is looked at again.
        markRead({ variables: { input: { clientKey: crypto.randomUUID(), messageId: id } } }).catch(
          () => (read.current.seq = 0),
        )
      }, 250)
    },
    [markRead],
  )
}
