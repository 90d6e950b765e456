import { graphql } from "../../graphql/generated"
import { useAct } from "../../graphql/useAct"

const RecallMessage = graphql(`
  mutation RecallMessage($input: RecallMessageInput!) {
    recallMessage(input: $input) {
      message {
        id
        conversation {
          id
          ...LiveConversation
        }
        ...MessageLine
      }
      userErrors {
        message
        field
      }
    }
  }
`)

/** Takes a message back: its text and files are gone for everybody (E11). */
export function useRecallMessage() {
  return useAct(RecallMessage, (data) => data.recallMessage)
}
