"""The settings of a script: arguments, defaults, and what resuming keeps."""

import argparse
import collections

from train.command_line import (
    ArgumentParser, as_typed, folder, option, UserError)


# What may become of a setting when a run is resumed: nothing, any other
# value, or a list with more in it.
KEEP, CHANGE, ADD = 'keep', 'change', 'add'

By = collections.namedtuple('By', 'setting values')
By.__doc__ = """A default for each value of another setting, as a dictionary.

A default may be another By. Where the other setting, whose own default is no
By, has none of these values, the default is None.
"""


class Setting:

    """One setting of a run, declared once for all that needs to know of it.

    Args:
        name (str): Its name, from which that of its argument is made.
        default: Its value where neither the user nor a recipe gives one, or
            a :class:`By`.
        help (str or None): What it is. The default is added to it, but for
            ``None`` and where the text tells a default itself. A setting
            without a help has no argument: the script finds it out.
        on_resume (str): ``KEEP``, ``CHANGE`` or ``ADD``.
        choices (container or callable): The values there are, or what returns
            them when they are needed; ``None`` for any.
        check (callable): Takes what was parsed and returns the value to use,
            or raises ValueError that tells what is wrong.
        before (list): What runs did that were saved before there was this
            setting, as a list of one value or :class:`By`; empty if there
            were none.
        former (container): Choices that there were once: runs that were saved
            with them go on.
        argument: What else :meth:`argparse.ArgumentParser.add_argument`
            takes.

    """

    def __init__(self, name, default, help, on_resume=KEEP, choices=None,
                 check=None, before=(), former=(), **argument):
        self.name = name
        self.default = default
        self.on_resume = on_resume
        self.before = before
        self._former = former
        self._help = help
        self._choices = choices
        self._check = check
        self._argument = argument

    @property
    def choices(self):
        return self._choices() if callable(self._choices) else self._choices

    def add_to(self, group):
        """Adds the argument, if there is one, to a group of a parser's."""
        if self._help is None:
            return
        text = self._help
        if self.default is not None and '(default' not in text:
            text += f' (default: {_in_words(self.default)})'
        argument = dict(self._argument, help=text)
        if self.choices is not None:
            argument['choices'] = self.choices
        group.add_argument(option(self.name), **argument)

    def checked(self, value):
        """Returns the value that a parsed one stands for.

        Raises:
            UserError: If it must not be used.

        """
        try:
            return self._check(value) if self._check else value
        except ValueError as error:
            raise UserError(f'{option(self.name)} {error}')

    def is_known(self, value):
        """Returns whether a value that was saved is one there is."""
        return self.choices is None or value is None or all(
            one in [*self.choices, *self._former]
            for one in (value if isinstance(value, list) else [value]))


class _Parser(ArgumentParser):

    """A parser whose errors are raised: the caller tells whose they are."""

    def error(self, message):
        raise UserError(message)


class Settings:

    """The settings of a script, and the rules by which they come together.

    Args:
        prog (str): Name of the script.
        description (str): What it does, for its help.
        noun (str): What it starts and resumes, such as ``'run'``.
        recipes (dict): Maps the values of the setting ``recipe`` to the
            settings they stand for.
        check_use (callable): Takes all settings and those that the user
            gave, and raises UserError if one of these would do nothing.
        groups (dict): Maps titles to lists of settings. A tuple in a list is
            of settings of which one takes the place of the others.

    Attributes:
        recipes (dict): As given.

    """

    def __init__(self, prog, description, noun, recipes, check_use, groups):
        self._prog = prog
        self._description = description
        self._noun = noun
        self.recipes = recipes
        self._check_use = check_use
        self._groups = groups
        self._settings = {}
        self._alternatives = {}
        for entries in groups.values():
            for entry in entries:
                settings = entry if isinstance(entry, tuple) else (entry,)
                for setting in settings:
                    self._settings[setting.name] = setting
                    self._alternatives[setting.name] = [
                        other.name for other in settings
                        if other is not setting]

    def parse(self, argv=None):
        """Parses the command line.

        Args:
            argv (list of str or None): The arguments; ``None`` for the
                process's.

        Returns:
            tuple: The arguments that tell where and how to run, an
            :class:`argparse.Namespace`, and a dictionary of the settings that
            are given.

        Raises:
            UserError: If the command line is wrong, or a setting's value
                must not be used.

        """
        changeable = [name for name, setting in self._settings.items()
                      if setting.on_resume != KEEP]
        parser = _Parser(
            prog=self._prog, description=self._description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            argument_default=argparse.SUPPRESS)
        parser.add_argument(
            '--list-recipes', action='store_true', default=False,
            help='print the recipes and exit')
        parser.add_argument(
            '--out', metavar='FOLDER', default='result', type=folder,
            help=f'folder that the {self._noun} writes to (default: result)')
        start = parser.add_mutually_exclusive_group()
        start.add_argument(
            '--resume', action='store_true', default=False,
            help=f'go on with the {self._noun} in --out, with its settings, '
            f"of which only {', '.join(map(option, changeable))} may change")
        start.add_argument(
            '--overwrite', action='store_true', default=False,
            help=f'start anew in place of a {self._noun} that --out holds')
        parser.add_argument(
            '--no-progress', action='store_false', dest='progress',
            default=True, help='draw no progress bar; there is none outside a '
            'terminal either')
        for title, entries in self._groups.items():
            group = parser.add_argument_group(title)
            for entry in entries:
                if isinstance(entry, tuple):
                    alternatives = group.add_mutually_exclusive_group()
                    for setting in entry:
                        setting.add_to(alternatives)
                else:
                    entry.add_to(group)
        args = vars(parser.parse_args(argv))
        given = {name: setting.checked(args.pop(name))
                 for name, setting in self._settings.items() if name in args}
        return argparse.Namespace(**args), given

    def complete(self, given):
        """Completes the settings that a user gave.

        What the user gave goes before the recipe's, that before the defaults.

        Args:
            given (dict): The settings given, by name.

        Returns:
            dict: All settings, by name.

        Raises:
            UserError: If a setting is given that would do nothing.

        """
        recipe = self.recipes.get(given.get('recipe'), {})
        defaults = {name: setting.default
                    for name, setting in self._settings.items()}
        chosen = {**defaults, **recipe, **given}
        settings = {name: _resolved(default, chosen)
                    for name, default in defaults.items()}
        self._override(settings, recipe)
        self._override(settings, given)
        self._check_use(settings, given)
        return settings

    def check_saved(self, saved, message):
        """Checks that settings that were saved are all, and ones there are.

        Args:
            saved: What was saved.
            message (str): What to tell the user otherwise.

        Returns:
            dict: All settings: what was saved, and what the run did before
            there were those that were added to the script since.

        Raises:
            UserError: If they are not those of a run of this script.

        """
        if not isinstance(saved, dict):
            raise UserError(message)
        saved = {**saved, **{
            name: _resolved(value, saved)
            for name, setting in self._settings.items()
            for value in setting.before if name not in saved}}
        if not (saved.keys() == self._settings.keys()
                and all(setting.is_known(saved[name])
                        for name, setting in self._settings.items())):
            raise UserError(message)
        return saved

    def resume(self, saved, given):
        """Merges what a user gives on resuming with what was saved.

        Args:
            saved (dict): All settings, by name.
            given (dict): The settings given now.

        Returns:
            dict: All settings from now on.

        Raises:
            UserError: If a setting given now would make it another run.

        """
        settings = dict(saved)
        for name, value in given.items():
            rule = self._settings[name].on_resume
            if rule == ADD:
                settings[name] = saved[name] + [
                    one for one in value if one not in saved[name]]
            elif rule == CHANGE:
                self._override(settings, {name: value})
            elif value != saved[name]:
                raise UserError(
                    f'{option(name)} {as_typed(value)} differs from the '
                    f'{as_typed(saved[name])} that this {self._noun} was '
                    f'started with; a resumed {self._noun} keeps its settings')
        return settings

    def _override(self, settings, others):
        """Overrides settings, and takes out what the others stand in for."""
        for name in others:
            settings.update(dict.fromkeys(self._alternatives[name]))
        settings.update(others)


def distinct(values):
    """Returns a list, or raises ValueError if anything is in it twice."""
    for i, value in enumerate(values):
        if value in values[:i]:
            raise ValueError(f'names {value} twice')
    return values


def _resolved(default, chosen):
    """Returns a default, given the values of the settings it depends on."""
    while isinstance(default, By):
        default = default.values.get(chosen.get(default.setting))
    return default


def _in_words(default):
    """Returns a default as the help tells it."""
    if not isinstance(default, By):
        return as_typed(default)
    if len(default.values) == 1:
        return _in_words(*default.values.values())
    names = {}
    for name, value in default.values.items():
        names.setdefault(as_typed(value), []).append(name)
    return '; '.join(f"{value} for {' and '.join(found)}"
                     for value, found in names.items())
