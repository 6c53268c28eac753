"""What runs in an Odoo process of its own, started by `stage.Stage.inside`."""
