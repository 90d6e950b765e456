package postgres

// Complete is for tests.
var Complete = complete
