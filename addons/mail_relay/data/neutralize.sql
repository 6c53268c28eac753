-- The core's neutralize.sql disables the accounts and deletes their secrets.
UPDATE mail_bridge_account SET state = 'disabled', state_rank = 2, relay_enabled = false;
-- What waits is the original's to send, and other applications hear from it alone.
UPDATE mail_relay_message
   SET state = 'cancelled', error = 'neutralized copy', hold_reason = NULL,
       claimed_by = NULL, claimed_until = NULL, done_at = now() AT TIME ZONE 'UTC'
 WHERE state IN ('queued', 'sending', 'in_doubt', 'held');
UPDATE mail_relay_client SET active = false, base_url = NULL;
UPDATE mail_relay_posting SET state = 'error', error = 'neutralized copy'
 WHERE state IN ('waiting', 'queued');
-- No copy reports to, or fetches from, the applications of the original.
UPDATE mail_relay_client SET base_url = NULL, active = false;
DELETE FROM ir_config_parameter WHERE key = 'mail_relay.sync_url';
