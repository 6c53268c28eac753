-- The core's neutralize.sql disables the accounts and deletes their secrets.
UPDATE mail_bridge_account SET state = 'disabled' WHERE code = 'smtp2go';
