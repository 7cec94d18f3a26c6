"""What this machine is and how fast it scans."""

from ..base.verb import Input, verb

MODEL = Input("model", "show this model's labels and thresholds", ("-m", "--model"), unit="MODEL")


@verb("what is here: devices, backends, models", MODEL)
def info(model=None, *, options, run):
    """Print on stdout what this machine has and can run; with ``model``, that model's labels."""
    from .info import show_model, show_system

    show_model(model) if model else show_system()
