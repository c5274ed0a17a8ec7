"""What is special to each kind of task.

task                 what a run asks of a task, and which one a configuration means
segmentation         the objective of a step, and the groups of the parameters
segmentation_task    network, evaluation, pictures and photos, as a configuration describes them
classification, classification_task    the same
adversarial          DANN's loss (gradient reversal)
"""
