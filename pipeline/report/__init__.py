"""A study's predictions as `metrics.json` and one self-contained `report.html`.

`predictions` reads and checks, `tasks` makes a study of each task, `analyse` and `parts` compute, `figures` and
`gallery` draw, `page` renders, `command` is the verb. Nothing here trains or predicts.
"""
