-- A copy of the database must neither take posts nor know how to talk outward.
UPDATE mail_bridge_account SET state = 'disabled', state_rank = 2;
DELETE FROM mail_bridge_secret;
DELETE FROM mail_bridge_token;
UPDATE mail_bridge_key SET active = false, previous_hash = NULL, previous_until = NULL;
UPDATE mail_bridge_intake SET state = 'dead', error = 'neutralized copy'
 WHERE state IN ('pending', 'failed');
DELETE FROM ir_config_parameter WHERE key = 'mail_bridge.key_fingerprint';
UPDATE mail_bridge_event SET state = 'dead', error = 'neutralized copy',
       next_attempt = NULL
 WHERE state IN ('pending', 'unmatched');
