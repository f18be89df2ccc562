"""Sign APEL messages (S/MIME) and deliver them: ARGO Messaging Service or a dirq spool."""
