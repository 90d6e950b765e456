import { useMutation } from "@apollo/client/react"
import { useCallback, useRef } from "react"
import { clientKey } from "../../graphql/clientKey"
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

/** Moves the read position to a message the person has seen, forwards only. */
export function useMarkRead() {
  const [markRead] = useMutation(MarkRead)
  const seen = useRef(0)
  return useCallback(
    ({ id, seq }: { id: string; seq: number }) => {
      if (seq <= seen.current) return
      seen.current = seq
      // If it does not get through the message stays unread, and is marked when the chat is looked at again.
      markRead({ variables: { input: { clientKey: clientKey(), messageId: id } } }).catch(() => (seen.current = 0))
    },
    [markRead],
  )
}
