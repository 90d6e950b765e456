import { graphql } from "../../graphql/generated"

/**
 * All that lists and open chats show of a conversation. Events and mutations bring it along, so that whatever is on
 * the screen is right without asking again.
 */
export const LiveConversation = graphql(`
  fragment LiveConversation on Conversation {
    id
    ...ConversationRow
    ...ConversationHeader
    ...ComposerConversation
    ...OptionsMenuConversation
    ... on GroupConversation {
      ...ParticipantsGroup
    }
  }
`)
