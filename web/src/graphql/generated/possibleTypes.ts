
      export type PossibleTypesResultData = {
  "possibleTypes": {
    "ChatTarget": [
      "Contact",
      "DirectConversation",
      "GroupConversation"
    ],
    "Conversation": [
      "DirectConversation",
      "GroupConversation"
    ],
    "Event": [
      "ContactAdded",
      "ContactChanged",
      "ContactListChanged",
      "ContactRemoved",
      "ConversationAdded",
      "ConversationChanged",
      "ConversationLeft",
      "FileChanged",
      "GroupDeleted",
      "Heartbeat",
      "MessageAdded",
      "MessageChanged",
      "SessionExpiring",
      "StreamReset"
    ],
    "Node": [
      "DirectConversation",
      "File",
      "GroupConversation",
      "Message",
      "Participant",
      "User",
      "WaitingRoom"
    ]
  }
};
      const result: PossibleTypesResultData = {
  "possibleTypes": {
    "ChatTarget": [
      "Contact",
      "DirectConversation",
      "GroupConversation"
    ],
    "Conversation": [
      "DirectConversation",
      "GroupConversation"
    ],
    "Event": [
      "ContactAdded",
      "ContactChanged",
      "ContactListChanged",
      "ContactRemoved",
      "ConversationAdded",
      "ConversationChanged",
      "ConversationLeft",
      "FileChanged",
      "GroupDeleted",
      "Heartbeat",
      "MessageAdded",
      "MessageChanged",
      "SessionExpiring",
      "StreamReset"
    ],
    "Node": [
      "DirectConversation",
      "File",
      "GroupConversation",
      "Message",
      "Participant",
      "User",
      "WaitingRoom"
    ]
  }
};
      export default result;
    