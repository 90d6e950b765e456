/** Texts that the product's rules name, to the letter. Everything else is written where it is shown. */
export const texts = {
  newChat: "New Chat", // S14: one spelling
  seeAllChats: "See All Chats", // S13
  noResult: "no result", // S18
  noResultMeans: "The name or email address is not in your contact list.", // S19
  add: "Add", // S33
  mute: "Mute Notifications", // S40
  unmute: "Unmute Notifications",
  archive: "Archive chat", // S46
  leaveGroup: "Leave group", // S49
  leave: "Leave", // S50
  deleteGroup: "Delete group", // S56
  delete: "Delete", // S58
  youLeft: "You left the group.", // S51
  youWereRemoved: "You were removed from the group.", // E9
  cannotSend: "You cannot send chat to this group.", // S52
  groupDeleted: "This group was deleted.", // E21
} as const
